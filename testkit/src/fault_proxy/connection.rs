//! One connection through the proxy.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use super::{Direction, Flow, Setting, Shared};

/// Read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks that wait to be passed on: few, so that who sends faster than bytes may pass has to wait.
const WAITING: usize = 4;
/// With a limit, what may pass in so many milliseconds goes at once.
const PIECE: u64 = 20;

/// How a connection came to its end.
enum End {
    Closed,
    Reset,
}

/// Passes bytes on until both sides have ended, it is cut, or it breaks.
pub(super) async fn run(mut client: TcpStream, mut server: TcpStream, mut cuts: watch::Receiver<u64>, shared: &Shared) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    shared.count(|counters| (counters.accepted, counters.open) = (counters.accepted + 1, counters.open + 1));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pass(from_client, to_server, Direction::ToServer, shared);
        let down = pass(from_server, to_client, Direction::ToClient, shared);
        tokio::select! {
            _ = cuts.changed() => End::Closed,
            ended = async { tokio::try_join!(up, down) } => match ended {
                Ok(_) => End::Closed,
                Err(end) => end,
            },
        }
    };
    if matches!(end, End::Reset) {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
    drop((client, server));
    shared.count(|counters| {
        counters.open -= 1;
        counters.resets += u64::from(matches!(end, End::Reset));
    });
}

/// One direction, up to the end of what is sent.
async fn pass(from: ReadHalf<'_>, to: WriteHalf<'_>, direction: Direction, shared: &Shared) -> Result<(), End> {
    // Two halves with a queue between, so that what is late does not keep the next from being read.
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut writer = Writer { to, direction, shared, setting: shared.setting.subscribe(), lost: false };
    tokio::try_join!(read(from, sender), writer.run(receiver)).map(|_| ())
}

/// Reads what comes, and says when it came.
async fn read(mut from: ReadHalf<'_>, sender: mpsc::Sender<(Instant, Vec<u8>)>) -> Result<(), End> {
    loop {
        let mut chunk = vec![0; CHUNK];
        // A side that has reset its connection is passed on as one that has closed it.
        let length = from.read(&mut chunk).await.map_err(closed)?;
        chunk.truncate(length);
        if length == 0 || sender.send((Instant::now(), chunk)).await.is_err() {
            return Ok(());
        }
    }
}

fn closed(_: io::Error) -> End {
    End::Closed
}

struct Writer<'a> {
    to: WriteHalf<'a>,
    direction: Direction,
    shared: &'a Shared,
    setting: watch::Receiver<Setting>,
    /// Whether a byte was thrown away.
    lost: bool,
}

impl Writer<'_> {
    async fn run(&mut self, mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>) -> Result<(), End> {
        while let Some((came, chunk)) = chunks.recv().await {
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let length = self.piece(came, rest).await?;
                rest = &rest[length..];
            }
        }
        let flow = self.flow();
        if self.lost || flow == Flow::Lost {
            // The end of the connection is lost as well: the other side has to find out by itself.
            std::future::pending::<()>().await;
        }
        self.to.shutdown().await.map_err(closed)
    }

    fn flow(&mut self) -> Flow {
        self.setting.borrow_and_update().flows[self.direction as usize]
    }

    /// Passes a piece of `rest` on, and gives its length; 0 if the flow has to be looked at again.
    async fn piece(&mut self, came: Instant, rest: &[u8]) -> Result<usize, End> {
        let flow = self.flow();
        if self.lost || flow == Flow::Lost {
            self.lost = true;
            return Ok(rest.len());
        }
        let mut length = rest.len();
        match flow {
            Flow::Free | Flow::Lost => {}
            Flow::Held => {
                let _ = self.setting.changed().await;
                return Ok(0);
            }
            Flow::Single => length = 1,
            Flow::Late(by) => {
                if self.wait(came + by).await {
                    return Ok(0);
                }
            }
            Flow::Limited(rate) => {
                let most = rate.saturating_mul(PIECE) / 1000;
                length = length.min(usize::try_from(most.max(1)).unwrap_or(usize::MAX));
                let due = self.reserve(length, rate);
                if self.wait(due).await {
                    return Ok(0);
                }
            }
        }
        let (length, reset) = self.until_reset(length);
        self.to.write_all(&rest[..length]).await.map_err(closed)?;
        self.shared.count(|counters| counters.passed[self.direction as usize] += length as u64);
        if flow == Flow::Single {
            // So that who reads has a chance to see it alone.
            tokio::task::yield_now().await;
        }
        if reset { Err(End::Reset) } else { Ok(length) }
    }

    /// Waits; `true` if the settings changed instead.
    async fn wait(&mut self, due: Instant) -> bool {
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => false,
            _ = self.setting.changed() => true,
        }
    }

    /// When so many bytes may pass after those of all connections before.
    fn reserve(&self, length: usize, rate: u64) -> Instant {
        let mut counters = self.shared.counters();
        let until = &mut counters.limited_until[self.direction as usize];
        let now = Instant::now();
        let due = until.unwrap_or(now).max(now) + Duration::from_secs_f64(length as f64 / rate as f64);
        *until = Some(due);
        due
    }

    /// How much may pass, and whether the connection is to be reset then.
    fn until_reset(&self, length: usize) -> (usize, bool) {
        let mut counters = self.shared.counters();
        let left = &mut counters.until_reset[self.direction as usize];
        match *left {
            None => (length, false),
            Some(most) if most > length as u64 => {
                *left = Some(most - length as u64);
                (length, false)
            }
            Some(most) => {
                *left = None;
                (usize::try_from(most).unwrap_or(length), true)
            }
        }
    }
}
