//! `cpq replay`: history worked through again, for a what-if, for views, for others' tools; each by its own file.

mod export;
mod price;
mod shadow;
mod source;
mod views;
mod when;

use crate::Failure;
use crate::output::{Answer, Paint};
use crate::settings::Stack;
use clap::{Args, Subcommand};

/// Work through history again: price it under other rules, decide it with this build, make the views from it, export it.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    #[command(subcommand)]
    command: ReplayCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ReplayCommand {
    Price(price::PriceArgs),
    Views(views::ViewsArgs),
    Shadow(shadow::ShadowArgs),
    Export(export::ExportArgs),
}

pub async fn run(args: &ReplayArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    match &args.command {
        ReplayCommand::Price(args) => price::run(args, &stack.db()?, paint).await,
        ReplayCommand::Views(args) => views::run(args, stack, paint).await,
        ReplayCommand::Shadow(args) => shadow::run(args, stack, paint).await,
        ReplayCommand::Export(args) => export::run(args, stack, paint).await,
    }
}
