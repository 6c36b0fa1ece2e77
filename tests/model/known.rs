//! Faults that the model test has found, each told in as few steps as it takes.
