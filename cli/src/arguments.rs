//! The whole command line on one page; each command's options are beside its code.

use clap::{Parser, Subcommand};

use crate::commands::{
    api_keys, audit, call, completions, dead_letters, dev, doctor, endpoint, endpoints, erasure, event_type,
    events, key, listen, migrate, operational_endpoint, own_tenant, probe, replay, restore, retention, role,
    secrets, send, stats, tenant, top,
};
use crate::failure::EXIT_CODES_HELP;
use crate::output::Output;

/// Reliable webhook delivery on PostgreSQL: run it, operate it, try it.
#[derive(Parser)]
#[command(name = "trunkline", version, after_help = EXIT_CODES_HELP)]
pub(crate) struct Arguments {
    /// Results as JSON on standard output, errors as JSON on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the whole house on this machine: PostgreSQL, api, worker, receiver and three tenants
    Dev(dev::Options),
    /// Run the api: tenants put events in and read history
    Api(role::Options),
    /// Run the worker: takes due deliveries out to endpoints
    Worker(role::Options),
    /// Run the receiver: the reference consumer
    Receiver(role::Options),
    /// Bring the database's schema up to this release
    Migrate(migrate::Options),
    /// Create, list, change, suspend, resume and delete tenants, straight on the database
    Tenant(tenant::Options),
    /// Add an endpoint to a tenant, straight on the database
    Endpoint(endpoint::Options),
    /// Create, list and revoke API keys, straight on the database
    Key(key::Options),
    /// See who switched what, straight from the database
    Audit(audit::Options),
    /// What is sealed at rest under which key, and sealing it again under a new one, straight on the database
    Secrets(secrets::Options),
    /// Receive webhooks on this machine and print them
    Listen(listen::Options),
    /// Publish a JSON object, or one per line, alone or as a batch, from a file or standard input
    Send(send::Options),
    /// Look at events, explain, export, retry, cancel and erase them, over REST
    Events(events::Options),
    /// Describe event types and the schemas of their payloads, over REST
    EventType(event_type::Options),
    /// Show counts, success rate and latency over time, over REST
    Stats(stats::Options),
    /// List, requeue and purge deliveries that used up their budget, over REST
    DeadLetters(dead_letters::Options),
    /// Deliver events of the past again, over REST
    Replay(replay::Options),
    /// A tenant's endpoints: create, change, pause, test, over REST
    Endpoints(endpoints::Options),
    /// The endpoint that gets what Trunkline itself has to tell, over REST
    OperationalEndpoint(operational_endpoint::Options),
    /// Erase payloads by predicate, and see the receipts, over REST
    Erasure(erasure::Options),
    /// A tenant's own API keys: create, list, revoke, over REST
    ApiKeys(api_keys::Options),
    /// What a tenant sees and changes of itself, over REST
    OwnTenant(own_tenant::Options),
    /// Call any route of the api
    Call(call::Options),
    /// After a restore to an earlier moment: hold, look, release
    Restore(restore::Options),
    /// Show how much history there is, and what will go when
    Retention(retention::Options),
    /// Show the live state: queue, rates, workers, endpoints that keep deliveries waiting
    Top(top::Options),
    /// Check settings and database, and say what to do
    Doctor(doctor::Options),
    /// Exit with 0 if a URL answers 200: a health check for containers
    Probe(probe::Options),
    /// Print shell completions
    Completions(completions::Options),
}

impl Command {
    /// Runs it to its end; what it has to say went to `output`.
    pub(crate) fn run(self, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Dev(options) => dev::run(&options, output),
            Self::Api(options) => role::run(role::Role::Api, &options),
            Self::Worker(options) => role::run(role::Role::Worker, &options),
            Self::Receiver(options) => role::run(role::Role::Receiver, &options),
            Self::Migrate(options) => migrate::run(&options, output),
            Self::Tenant(options) => tenant::run(&options, output),
            Self::Endpoint(options) => endpoint::run(&options, output),
            Self::Key(options) => key::run(&options, output),
            Self::Audit(options) => audit::run(&options, output),
            Self::Secrets(options) => secrets::run(&options, output),
            Self::Listen(options) => listen::run(&options, output),
            Self::Send(options) => send::run(&options, output),
            Self::Events(options) => events::run(&options, output),
            Self::EventType(options) => event_type::run(&options, output),
            Self::Stats(options) => stats::run(&options, output),
            Self::DeadLetters(options) => dead_letters::run(&options, output),
            Self::Replay(options) => replay::run(&options, output),
            Self::Endpoints(options) => endpoints::run(&options, output),
            Self::OperationalEndpoint(options) => operational_endpoint::run(&options, output),
            Self::Erasure(options) => erasure::run(&options, output),
            Self::ApiKeys(options) => api_keys::run(&options, output),
            Self::OwnTenant(options) => own_tenant::run(&options, output),
            Self::Call(options) => call::run(&options, output),
            Self::Restore(options) => restore::run(&options, output),
            Self::Retention(options) => retention::run(&options, output),
            Self::Top(options) => top::run(&options, output),
            Self::Doctor(options) => doctor::run(&options, output),
            Self::Probe(options) => probe::run(&options, output),
            Self::Completions(options) => completions::run(&options, output),
        }
    }
}
