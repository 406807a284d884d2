//! `cpq verify`: proofs from what is stored and published, each by its own file. What is found is collected in
//! `findings`; a proof that found something exits 1.

mod audit;
mod chain;
pub(crate) mod events;
mod evidence;
mod facts;
mod findings;
mod outsider;
mod price;
mod restore;
mod sequence;
mod topic;
mod views;
mod witness;

use crate::Failure;
use crate::output::{Answer, Paint};
use crate::settings::Stack;
use clap::{Args, Subcommand};

/// Prove that topics, prices, audit and evidence are what they should be; exits 1 where they are not.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    #[command(subcommand)]
    command: VerifyCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum VerifyCommand {
    Topic(topic::TopicArgs),
    /// Compares every event on its topic with the recorded transition, and every transition with its event.
    Facts,
    /// Makes every view again from offset 0, beside the live ones, and compares them row by row.
    Views,
    /// Makes every stored price again from its trace, and checks the trace's hash.
    Price,
    Audit(audit::AuditArgs),
    Restore(restore::RestoreArgs),
    /// Proves the chain configuration, price, approval, artifact, acceptance, order of every quote from the
    /// events topics alone.
    Evidence,
}

pub async fn run(args: &VerifyArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    match &args.command {
        VerifyCommand::Topic(args) => topic::run(args, stack, paint).await,
        VerifyCommand::Facts => facts::run(stack, paint).await,
        VerifyCommand::Views => views::run(stack, paint).await,
        VerifyCommand::Price => price::run(&stack.db()?, paint).await,
        VerifyCommand::Restore(args) => restore::run(args, stack, paint).await,
        VerifyCommand::Audit(args) => audit::run(args, &stack.db()?, paint).await,
        VerifyCommand::Evidence => evidence::run(stack, paint).await,
    }
}
