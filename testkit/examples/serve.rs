//! Starts a server of the version that is named, for trying things out: `cargo run -p rdts-testkit --example serve --
//! redis-7.0`. Prints its URL, and ends with Ctrl-C.

fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| "redis-7.0".to_owned());
    let server = rdts_testkit::Server::start(&name);
    println!("{}", server.url());
    loop {
        std::thread::park();
    }
}
