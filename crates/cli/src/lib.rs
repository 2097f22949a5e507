//! The program `fanfold`: the job on a laptop.
//!
//! The decision: there is no second engine for a laptop. The three functions that run on Lambda run here too, unchanged,
//! under an emulator of Lambda and S3 in this process; the program is their bootstrap as well (`fanfold bootstrap worker`).
//! So what ran here runs there, and nothing has to be installed. The price is that a local run pays for what a cloud needs:
//! files are copied into the embedded S3 and out of it again, and every chunk result is stored once on its way.
//!
//! ```text
//! args -> map or document -> places -> machine: copy in -> submit, watch -> copy out -> summary -> exit status
//! ```
#![forbid(unsafe_code)]

mod ahead;
mod args;
mod claims;
mod config;
mod copy_in;
mod copy_out;
mod deployed;
mod dispatcher;
mod document;
mod ended;
mod exit;
mod find;
mod fire;
mod functions;
mod glob;
mod home;
mod joblog;
mod local;
mod logs;
mod machine;
mod map;
mod measures;
mod places;
mod plan;
mod plan_store;
mod progress;
mod redrive;
mod run;
mod signals;
mod split;
mod stderr;
mod stdout;
mod summary;
mod sweep;
mod synthesized;
mod target;
mod verify;
mod wanted;
mod watch;

use std::process::ExitCode;

use fanfold_flow::code::Code;
use fanfold_runtime::Error;

use crate::args::Command;
use crate::args::stack::StackCommand;
use crate::exit::Stop;
use crate::wanted::Wanted;

/// The whole program: reads the command line, does what it says, and gives the exit status of [`Code`].
pub fn main() -> ExitCode {
    let command = args::parse();
    if let Command::Bootstrap { role, program } = command {
        return functions::bootstrap(role, program.as_deref());
    }
    logs::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Stop::Failed(Error::caused(Code::Internal, "start the asynchronous runtime", error))
                .told();
        }
    };
    let ended = runtime.block_on(execute(command));
    // A blocking read of a pipe that nobody closes must not keep the program alive.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.end(),
    }
}

async fn execute(command: Command) -> Result<(), Stop> {
    match command {
        Command::Map(args) => run::run(Wanted::of_map(&args)?, args.program_run()).await,
        Command::Run(args) => run::run(Wanted::to_run(&args)?, args.run).await,
        Command::Plan(args) => plan::show(&args).await,
        Command::Local(args) => local::serve(args).await,
        Command::Fire(args) => fire::fire(&args).await,
        Command::Stack(StackCommand::Redrive(args)) if args.run.machine.place.keeps_objects() => {
            redrive::here(&args).await
        }
        Command::Stack(StackCommand::Verify(args)) if args.place.keeps_objects() => verify::here(&args).await,
        Command::Stack(command) => deployed::execute(command).await,
        Command::Config(args) => config::show(&args),
        // Dealt with before there was a runtime.
        Command::Bootstrap { .. } => Ok(()),
    }
}
