//! The `packhorse` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(exit) = packhorse::plugin::child_of_a_compiler() {
        return exit;
    }
    packhorse::allocator::tune();
    packhorse::bus::install_crypto();
    if let Err(why) = packhorse::failpoint::arm() {
        packhorse::cli::failed_to_arm(&why);
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(packhorse::cli::main());
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            exit.into()
        }
        Err(error) => {
            packhorse::cli::failed_to_start(&error);
            ExitCode::from(70)
        }
    }
}
