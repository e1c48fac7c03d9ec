//! A small server of ours in a thread of its own, which ends when its handle is dropped.

use std::future::Future;

use anyhow::Result;
use tokio::sync::oneshot;

/// Keeps a server running.
#[derive(Debug)]
pub struct Background {
    _stop: oneshot::Sender<()>,
}

impl Background {
    /// Runs what `serve` makes, in a thread called `name`.
    ///
    /// Not in the caller's runtime: that one waits for processes, and a server of ours must answer meanwhile.
    pub fn run<F>(name: &str, serve: impl FnOnce() -> F + Send + 'static) -> Result<Self>
    where
        F: Future<Output = Result<()>>,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        ended = serve() => if let Err(error) = ended {
                            eprintln!("{error:#}");
                        }
                    }
                });
            })?;
        Ok(Self { _stop: stop })
    }
}
