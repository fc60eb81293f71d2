//! The `corral` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    corral_host::cli::main()
}
