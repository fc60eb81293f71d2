//! Replays a recorded access stream as product pages over HTTP.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ArgGroup;
use corral_tests::fleet::Fleet;
use corral_tests::replay::{Replay, Summary};
use corral_tests::shop::Shop;
use corral_tests::trace::Trace;
use indicatif::{ProgressBar, ProgressStyle};

/// Hosts that a self-contained replay starts: two, so that the store that they share is tested.
const HOSTS: usize = 2;

/// Replays a trace as product pages, checks every answer, and compares the origin's loads with the
/// distinct keys. Fails when an answer is wrong or a key was loaded more than once.
///
/// Example: corral-tests replay --self-contained --trace web12.trace.xz
#[derive(clap::Args)]
#[command(group(ArgGroup::new("whom").required(true).args(["url", "self_contained"])))]
pub(crate) struct Args {
    /// A file of big-endian 32-bit integers, one per access; xz or raw.
    #[arg(long)]
    trace: PathBuf,
    /// A host to ask (http://127.0.0.1:7070); may be given several times. Its origin must hold the
    /// shop, see --seed.
    #[arg(long)]
    url: Vec<String>,
    /// Its admin face (http://127.0.0.1:7071), for the count of loads; may be given several times.
    #[arg(long, requires = "url")]
    admin_url: Vec<String>,
    /// A Postgres database in which to make the shop's tables first.
    #[arg(long, requires = "url")]
    seed: Option<String>,
    /// Start Redis, Postgres with a full shop, and two hosts for this replay only.
    #[arg(long, visible_alias = "start")]
    self_contained: bool,
    /// Requests under way at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Replay only so many of the accesses.
    #[arg(long)]
    limit: Option<usize>,
    /// Send so many requests a second, each at its time, instead of sending each as soon as the one
    /// before is answered.
    #[arg(long)]
    rate: Option<f64>,
    /// The entity to read; it must answer what the shop's `product.page` does.
    #[arg(long, default_value = "product.page")]
    entity: String,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Prints the summary, and says whether it holds.
pub(crate) async fn run(args: &Args) -> anyhow::Result<bool> {
    let summary = replay(args).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print!("{}", text(&summary));
    }
    Ok(summary.holds())
}

async fn replay(args: &Args) -> anyhow::Result<Summary> {
    let trace = Trace::read(&args.trace).with_context(|| args.trace.display().to_string())?;
    let trace = trace.limited(args.limit.unwrap_or(usize::MAX));
    let shop = Shop::large(trace.distinct().into_iter().collect());
    // Indicatif draws on terminals only.
    let spinner = ProgressBar::new_spinner().with_message("making the shop");
    let mut replay = Replay {
        urls: args.url.clone(),
        admin_urls: args.admin_url.clone(),
        connections: args.connections,
        entity: args.entity.clone(),
        rate: args.rate,
    };
    // Kept until the replay ends.
    let mut fleet = None;
    if args.self_contained {
        let started = fleet.insert(Fleet::start(HOSTS, &shop, "").await?);
        replay.urls = started.urls();
        replay.admin_urls = started.admin_urls();
    } else if let Some(url) = &args.seed {
        shop.load(url).await.context("--seed")?;
    }
    spinner.finish_and_clear();

    let style = "{bar:40} {pos}/{len} requests, {per_sec}, {eta} left";
    let bar = ProgressBar::new(trace.accesses().len() as u64)
        .with_style(ProgressStyle::with_template(style)?);
    let summary = replay.run(trace, {
        let bar = bar.clone();
        move || bar.inc(1)
    });
    let summary = summary.await;
    bar.finish_and_clear();
    summary
}

fn text(summary: &Summary) -> String {
    let loads = summary.origin_loads.map_or("unknown".to_owned(), |loads| loads.to_string());
    let mut text = format!(
        "requests       {} in {:.1} s, {:.0} per second\n\
         distinct keys  {}\n\
         origin loads   {loads}\n\
         hit ratio      {:.1} %\n\
         errors         {}\n\
         wrong answers  {}\n\
         latency        p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n",
        summary.requests,
        summary.seconds,
        summary.requests_per_second,
        summary.distinct_keys,
        summary.hit_ratio * 100.0,
        summary.errors,
        summary.wrong_answers,
        summary.p50_ms,
        summary.p99_ms,
        summary.max_ms,
    );
    for example in &summary.examples {
        text.push_str(&format!("wrong          {example}\n"));
    }
    text.push_str(if summary.holds() { "it holds\n" } else { "it does not hold\n" });
    text
}
