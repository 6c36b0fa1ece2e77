//! The flags of `kvred completions` and `kvred man`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(kvred completions bash)              for this session, in bash
  source <(kvred completions zsh)               in zsh, after compinit
  kvred completions fish > ~/.config/fish/completions/kvred.fish

Files:
  /usr/share/bash-completion/completions/kvred  for all users of bash
  /usr/share/zsh/vendor-completions/_kvred      of zsh, on Debian
  /usr/share/fish/vendor_completions.d/kvred.fish
                        of fish

Exit status:
  0    fine
  2    wrong usage
  3    the script cannot be written";

const MAN_EXAMPLES: &str = "\
Examples:
  kvred man ~/.local/share/man/man1
  kvred man man1 && man -l man1/kvred-aof-check.1

Files:
  DIR/kvred.1           the overview
  DIR/kvred-COMMAND.1   a page for each command, nested ones too

Exit status:
  0    fine
  2    wrong usage
  3    a page cannot be written";

/// `kvred completions`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = COMPLETIONS_EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell that will read it
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `kvred man`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// The directory to write to, made if missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}
