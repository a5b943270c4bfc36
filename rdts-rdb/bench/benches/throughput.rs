//! Throughput from memory, by criterion: `cargo bench`, with the peer that can read from memory `cargo bench --features peers`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rdts_rdb_bench::{generate, parsers};

/// A fiftieth of the files of the other measurements: they stay in the processor's cache, so what is measured is the parsers and not the memory.
const SHARE: u64 = 50;

fn throughput(criterion: &mut Criterion) {
    for name in ["A", "B", "C"] {
        let mut file = Vec::new();
        generate::write(name, SHARE, &mut file).expect("memory can be written to");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(file.len() as u64)).sample_size(20);
        for mode in ["raw", "raw-validated", "raw-whole-validated", "skip", "decode"] {
            let options = parsers::options(mode);
            group.bench_with_input(BenchmarkId::from_parameter(mode), &file, |bencher, file| {
                bencher.iter(|| parsers::events(&file[..], options));
            });
        }
        #[cfg(feature = "peers")]
        group.bench_with_input(BenchmarkId::from_parameter("peer-rdb"), &file, |bencher, file| {
            bencher.iter(|| rdts_rdb_bench::peers::rdb_source(&file[..]));
        });
        group.finish();
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);
