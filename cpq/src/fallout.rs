//! `cpq fallout list`: what waits for a person. Acting on a case goes over HTTP, where it is authorized.

use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::table::{Cell, Table};
use crate::{Failure, span};
use clap::{Args, Subcommand};
use cpq_state_stores::operations::backlog::{MAX_LISTED, open_fallout};

/// List open fallout cases.
#[derive(Args, Clone, Debug)]
pub struct FalloutArgs {
    #[command(subcommand)]
    command: FalloutCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum FalloutCommand {
    /// Lists the open cases, oldest first.
    List {
        /// Only this tenant's; without it, all tenants'.
        #[arg(long)]
        tenant: Option<String>,
    },
}

pub async fn run(args: &FalloutArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let FalloutCommand::List { tenant } = &args.command;
    let mut tx = stack.db()?.begin_system().await?;
    let cases = open_fallout(&mut tx, tenant.as_deref()).await?;
    tx.commit().await?;
    let mut table =
        Table::new(&["AGE", "TENANT", "CASE", "ORDER", "ORDER STATUS", "CUSTOMER", "STEP", "REASON", "DETAIL"]);
    for case in &cases {
        table.row(vec![
            Cell::styled(Style::Yellow, span::shown(case.age_seconds)),
            case.tenant_id.as_str().into(),
            case.fallout_id.as_str().into(),
            case.order_id.as_str().into(),
            case.order_status.as_deref().unwrap_or("?").into(),
            case.customer_account_id.as_deref().unwrap_or("?").into(),
            case.step_id.as_str().into(),
            Cell::styled(Style::Red, case.reason_code.as_str()),
            case.detail.as_str().into(),
        ]);
    }
    let text = match cases.len() {
        0 => "no open fallout".to_owned(),
        count if count as i64 == MAX_LISTED => format!("{}\nthe oldest {count}; there are more", table.render(paint)),
        count => format!("{}\n{count} open", table.render(paint)),
    };
    Answer::new(&cases, text)
}
