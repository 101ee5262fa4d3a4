//! Times of training steps and evaluations, in images a second; also on request, for a program that
//! alternates them with another framework's.
//!
//! `cargo bench -p resmcu-quantizer --bench training_step -- [serve] NETWORK BATCH [train|infer]`.
//! With `serve`, each line of the standard input is a number of rounds, and each line of the answer
//! the seconds that one took. Threads: `RAYON_NUM_THREADS`; instruction set: `RESMCU_ENGINE_ISA`.

use std::io::BufRead;
use std::time::Instant;

use ndarray::Array4;
use rayon::prelude::*;
use resmcu_quantizer::engine::{Executor, Targets, TrainStep};
use resmcu_quantizer::graph::{Graph, resnet};

fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let serve = arguments.first().is_some_and(|argument| argument == "serve");
    let mut rest = arguments.iter().skip(usize::from(serve));
    let network = rest.next().map_or("resnet8", String::as_str);
    let batch: usize = rest.next().map_or(128, |batch| batch.parse().expect("a batch size"));
    let infer = rest.next().is_some_and(|mode| mode == "infer");
    let mut bench = Bench::new(network, batch);
    let mut round = || if infer { bench.infer() } else { bench.train() };
    round();
    if serve {
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let rounds = line.expect("a line").trim().parse().expect("a number of rounds");
            println!("{}", seconds(rounds, &mut round));
        }
        return;
    }
    let mut times: Vec<f64> = (0..20).map(|_| seconds(1, &mut round)).collect();
    times.sort_by(f64::total_cmp);
    let [best, median] = [times[0], times[times.len() / 2]].map(|time| batch as f64 / time);
    println!("{network}, batch {batch}: median {median:.0} images/s, best {best:.0}");
}

fn seconds(rounds: u32, round: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    (0..rounds).for_each(|_| round());
    begun.elapsed().as_secs_f64() / f64::from(rounds)
}

struct Bench {
    graph: Graph,
    images: Array4<f32>,
    labels: Vec<usize>,
    velocity: Vec<Vec<f32>>,
    step: TrainStep,
    executor: Executor,
}

impl Bench {
    fn new(network: &str, batch: usize) -> Self {
        let spec = resnet::by_name(network).expect("a network's name");
        let graph = spec.build(0).expect("a graph");
        let [h, w, c] = graph.input_shape();
        let noise = |i: usize| (i * 2_654_435_761 % 1009) as f32 / 504.5 - 1.0;
        let values = (0..batch * h * w * c).map(noise).collect();
        let images = Array4::from_shape_vec([batch, h, w, c], values).expect("its size");
        let labels = (0..batch).map(|image| image % graph.classes()).collect();
        let trained = graph.parameters().into_iter().filter(|p| p.kind.is_trained());
        let velocity = trained.map(|p| vec![0.0; p.values.len()]).collect();
        let (step, executor) = (TrainStep::new(), Executor::new());
        Self { graph, images, labels, velocity, step, executor }
    }

    fn train(&mut self) {
        let targets = Targets::new(&self.labels);
        let output = self.step.run(&mut self.graph, self.images.view(), &targets, 0.1);
        output.expect("a step");
        let parameters = self.graph.parameters_mut().into_iter().filter(|p| p.kind.is_trained());
        let parameters: Vec<_> = parameters.collect();
        let states = self.velocity.par_iter_mut().zip(self.step.gradients());
        parameters.into_par_iter().zip(states).for_each(|(parameter, (velocity, gradient))| {
            for ((w, v), g) in parameter.values.iter_mut().zip(velocity).zip(gradient) {
                *v = 0.9 * *v + g + 1e-4 * *w;
                *w -= 0.01 * *v;
            }
        });
    }

    fn infer(&self) {
        self.executor.forward_eval(&self.graph, self.images.view()).expect("logits");
    }
}
