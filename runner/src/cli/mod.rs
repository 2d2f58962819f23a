//! The command line: what was typed, carried out, and told.
//!
//! * `args`: every command and flag
//! * `run`: `run`, `resume`; `each`: one run for each line of a file; `follow`: progress of a run; `bar`: progress of bytes; `print`: results
//! * `serve`: the daemon, and `reload`, which asks it; `token`: makes a token for its API; `triggers`: what starts runs by itself, and dead letters
//! * `remote`: asks a daemon on another machine what is asked of one here; `afar`: `run` and `logs -f` there
//! * `devices`: what the registry says of devices
//! * `ask`: `ps show cancel pause retry`; `top`: the same, live, `keys`: which end it; `hold`: `hold release holds`; `logs`; `explain`; `codes`: what codes mean
//! * `logging`: lines on stderr, for people or as JSON
//! * `doctor`; `check`: `validate schema help`
//! * `listen`: `plugin tap capture replay`; `plugin` (`release` ends a quarantine, `repin` moves runs to another build), `device`, `fastdfs` (a client of any FastDFS, and the server
//!   alone), `broker`, `demo`

mod afar;
mod args;
mod ask;
mod bar;
mod broker;
mod check;
mod codes;
mod demo;
mod device;
mod devices;
mod doctor;
mod each;
mod explain;
mod fastdfs;
mod follow;
mod gc;
mod hold;
mod keys;
mod listen;
mod logging;
mod logs;
mod pin;
mod plugin;
mod print;
mod release;
mod remote;
mod repin;
mod run;
mod serve;
mod signals;
mod token;
mod top;
mod triggers;

use crate::app::exit::{Exit, Stop};
use args::{Cli, Command, ServerArgs};
use clap::CommandFactory as _;

/// Carries out what the process was started with.
pub async fn main() -> Exit {
    let (cli, command) = match args::typed() {
        Ok(typed) => typed,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Succeeded };
        }
    };
    let daemon = matches!(cli.command, Command::Serve(_));
    let _logs = logging::Logs { verbose: cli.verbose, format: cli.log_format, daemon }.start();
    let output = cli.output;
    let done = match remote::fits(&cli.at, &command) {
        Ok(()) => dispatch(cli).await,
        Err(stop) => Err(stop),
    };
    match done {
        Ok(exit) => exit,
        Err(stop) => {
            print::stop(&stop, output);
            stop.exit
        }
    }
}

async fn dispatch(cli: Cli) -> Result<Exit, Stop> {
    let (show, at) = (print::Show { output: cli.output, quiet: cli.quiet }, &cli.at);
    match cli.command {
        Command::Run(args) => run::run(args, at, show).await,
        Command::Resume(args) => run::resume(args, at, show).await,
        Command::Ps(args) => ask::ps(args, at, show).await,
        Command::Top(args) => top::top(args, at, show).await,
        Command::Show(args) => ask::show(args, at, show).await,
        Command::Explain(args) => explain::explain(args, at, show).await,
        Command::Cancel(args) => ask::cancel(args, at, show).await,
        Command::Pause(args) => ask::pause(args, at, show).await,
        Command::Retry(args) => ask::retry(args, at, show).await,
        Command::Hold(args) => hold::hold(args, at, show).await,
        Command::Release(args) => hold::release(args, at, show).await,
        Command::Holds(args) => hold::holds(args, at, show).await,
        Command::Logs(args) => logs::logs(args, at, show).await,
        Command::Serve(args) => serve::serve(args, at, show).await,
        Command::Reload(args) => serve::reload(args, at, show).await,
        Command::Triggers(args) => triggers::triggers(args, at, show).await,
        Command::DeadLetters(args) => triggers::letters(args, at, show).await,
        Command::Token(args) => token::token(args, show),
        Command::Openapi => token::openapi(),
        Command::Doctor(args) => doctor::doctor(args, at, show).await,
        Command::Validate(args) => check::validate(args, show).await,
        Command::Schema => check::schema(),
        Command::Gc(args) => gc::gc(args, at, show).await,
        Command::Help(args) => check::help(args),
        Command::Plugin(args) => plugin::plugin(args, at, show).await,
        Command::Device(args) => device::device(args, show).await,
        Command::Fastdfs(args) => fastdfs::fastdfs(args.command, show).await,
        Command::Devices(args) => devices::devices(args, at, show).await,
        Command::Broker(args) => broker::broker(&args.listen, show).await,
        Command::Demo(args) => demo::demo(args, show).await,
        Command::Completions(args) => {
            clap_complete::generate(args.shell, &mut Cli::command(), "packhorse", &mut std::io::stdout());
            Ok(Exit::Succeeded)
        }
    }
}

/// The settings that these flags and variables give.
fn settings(args: &args::ServiceArgs, at: &ServerArgs) -> Result<crate::settings::Settings, Stop> {
    settings_with(args, at, None)
}

/// The same, of a command that works on this machine's data folder and on no other.
fn settings_here(args: &args::ServiceArgs, at: &ServerArgs, what: &str) -> Result<crate::settings::Settings, Stop> {
    let settings = settings(args, at)?;
    remote::here(&settings, what).map(|()| settings)
}

/// The same with the address of the HTTP side.
fn settings_with(
    args: &args::ServiceArgs,
    at: &ServerArgs,
    listen: Option<String>,
) -> Result<crate::settings::Settings, Stop> {
    let given = crate::settings::Given {
        mqtt: args.mqtt.clone(),
        mqtt_access: crate::settings::MqttAccess::default(),
        fastdfs: args.fastdfs.clone(),
        redis: args.redis.clone(),
        store: args.store.clone(),
        data: args.data.clone(),
        plugins: args.plugins.clone(),
        workflows: args.workflows.clone(),
        devices: args.devices.clone(),
        listen,
        server: at.server(),
        token_file: at.token_file.clone(),
    };
    load(given)
}

fn load(mut given: crate::settings::Given) -> Result<crate::settings::Settings, Stop> {
    // Names and values that are no text are nobody's settings.
    let all =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    given.mqtt_access = crate::settings::MqttAccess::from_variables(all)
        .map_err(|error| Stop::usage("PH1007", packhorse_core::failure::chain(&error)))?;
    let folder = std::env::current_dir()
        .map_err(|error| Stop::usage("PH1007", format!("there is no working folder: {error}")))?;
    crate::settings::Settings::load(given, &folder)
        .map_err(|error| Stop::usage("PH1007", packhorse_core::failure::chain(&error)))
}

/// Says that a failpoint is set and means nothing.
pub fn failed_to_arm(why: &str) {
    print::write_err(&format!("error[PH9010]: {why}"));
}

/// Says that not even the runtime could be started.
pub fn failed_to_start(error: &std::io::Error) {
    print::write_err(&format!("error[PH9001]: cannot start the runtime: {error}"));
}
