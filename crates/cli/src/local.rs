//! `fanfold local`: the machine, kept up for others.

use crate::args::LocalArgs;
use crate::exit::Stop;
use crate::machine::{Machine, Wishes};
use crate::signals::Signals;
use crate::stderr::say;
use crate::{stdout, synthesized};

/// Starts the machine, says how to reach it, and keeps it up until a signal comes.
///
/// # Errors
/// When it does not start. That it was stopped by a signal is what is expected of it, and no error.
pub(crate) async fn serve(args: Box<LocalArgs>) -> Result<(), Stop> {
    if let Some(template) = &args.template {
        return synthesized::serve(&args, template).await;
    }
    let mut signals = Signals::listen()?;
    // Whoever comes in from outside may take an ETag for an MD5: they are, by default.
    let wishes = Wishes { s3_port: args.s3_port, lambda_port: args.lambda_port, ..Wishes::default() };
    let machine = Machine::start(&args.machine, wishes).await?;
    let exports: String =
        machine.environment().iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
    stdout::print(&exports)?;
    hints(&machine);
    let signal = signals.next().await;
    say!("stopping after {}", signal.name());
    machine.stop(&[]).await;
    Ok(())
}

fn hints(machine: &Machine) {
    let folder = machine.folder().display();
    say!(
        "Lambda and S3 are up, with their data in {folder} and what the functions log in {folder}/logs.\n\
         With the lines above in another shell's environment:\n  \
         aws s3 ls {work}\n  \
         aws lambda invoke --function-name fanfold-dispatcher --payload fileb://job.json /dev/stdout\n\
         Ctrl-C stops them.",
        work = machine.work
    );
}
