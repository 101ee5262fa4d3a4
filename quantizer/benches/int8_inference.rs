//! Times of int8 inference on the host, in images a second; also on request, for a program that
//! alternates them with another framework's (`int8_against_others.py`).
//!
//! `cargo bench -p resmcu-quantizer --bench int8_inference -- [serve] NETWORK BATCH`, or a path of
//! a model file in place of a network's name. With `serve`, each line of the standard input is a
//! number of rounds, and each line of the answer the seconds that one took. Threads:
//! `RAYON_NUM_THREADS`. Weights of a network are seeded, of which the time does not depend.

use std::io::BufRead;
use std::time::Instant;

use ndarray::Array4;
use rayon::prelude::*;
use resmcu_int8_runtime::{Block, Executor, Step};
use resmcu_model_format::ModelFile;
use resmcu_quantizer::calibrate::Ranges;
use resmcu_quantizer::engine;
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::resnet;
use resmcu_quantizer::lower::lower;
use resmcu_quantizer::pack_for_host::pack_for_host;
use resmcu_quantizer::quantize::quantize;
use zerocopy::IntoBytes;

fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let serve = arguments.first().is_some_and(|argument| argument == "serve");
    let mut rest = arguments.iter().skip(usize::from(serve));
    let network = rest.next().map_or("resnet8", String::as_str);
    let batch: usize = rest.next().map_or(128, |batch| batch.parse().expect("a batch size"));
    let packed = pack_for_host(&model(network)).expect("a model that a host runs");
    let blocks = blocks(&packed);
    let file = &blocks.as_bytes()[..packed.len()];
    let header = *ModelFile::parse(file).expect("a model file").header();
    let bytes = (header.arena_bytes + header.scratch_bytes) as usize;
    let threads = rayon::current_num_threads().min(batch);
    let memory =
        (vec![Block::ZERO; bytes / Block::BYTES + 2], vec![Step::VACANT; header.tensors.into()]);
    let mut memories = vec![memory; threads];
    let executors = memories.iter_mut().map(|(arena, plan)| Executor::new(file, arena, plan));
    let mut executors: Vec<_> =
        executors.map(|executor| executor.expect("a model that runs")).collect();
    let pixels = executors[0].input_bytes();
    let images: Vec<u8> = (0..batch * pixels).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    let mut answers = vec![0_u8; batch];
    let share = batch.div_ceil(threads);
    let mut round = || {
        let work = images.par_chunks(share * pixels).zip(answers.par_chunks_mut(share));
        executors.par_iter_mut().zip(work).for_each(|(executor, (images, answers))| {
            for (image, answer) in images.chunks_exact(pixels).zip(answers) {
                *answer = executor.infer_image(image, &mut ())[0];
            }
        });
    };
    (0..3).for_each(|_| round());
    if serve {
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let rounds = line.expect("a line").trim().parse().expect("a number of rounds");
            println!("{}", seconds(rounds, &mut round));
        }
        return;
    }
    let mut times: Vec<f64> = (0..50).map(|_| seconds(10, &mut round)).collect();
    times.sort_by(f64::total_cmp);
    let [best, median] = [times[0], times[times.len() / 2]].map(|time| batch as f64 / time);
    println!("{network}, batch {batch}: median {median:.0} images/s, best {best:.0}");
}

fn seconds(rounds: u32, round: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    (0..rounds).for_each(|_| round());
    begun.elapsed().as_secs_f64() / f64::from(rounds)
}

/// The bytes of a model file, or those of a network with seeded weights.
fn model(name: &str) -> Vec<u8> {
    if name.ends_with(".rmcu") {
        return std::fs::read(name).expect("a model file");
    }
    let graph = resnet::by_name(name).and_then(|spec| spec.build(0)).expect("a network's name");
    let graph = fold(&graph).expect("a graph with batch normalization");
    let [height, width, channels] = graph.input_shape();
    let noise = |(n, y, x, c)| ((n * 7919 + y * 613 + x * 97 + c * 31) % 1009) as f32 / 252.0 - 2.0;
    let images = Array4::from_shape_fn([2, height, width, channels], noise);
    let mut ranges = Ranges::new(&graph);
    ranges.observe(&graph, &engine::Executor::new(), &images.view()).expect("ranges");
    lower(&quantize(&graph, &ranges).expect("integers")).expect("a model file").file
}

/// Aligned as a model file has to be.
fn blocks(bytes: &[u8]) -> Vec<Block> {
    let mut blocks = vec![Block::ZERO; bytes.len().div_ceil(Block::BYTES)];
    blocks.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    blocks
}
