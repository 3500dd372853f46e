//! Parse, dispatch, exit code; nothing else.

fn main() -> std::process::ExitCode {
    belljar::cli::main()
}
