//! RESP2 bytes <-> frames. Knows no command.
