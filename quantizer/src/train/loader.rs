//! Batches ready before they are asked for: images are augmented, and decoded where they are
//! files, on threads of the loader's own while the network trains on the batch before.
//!
//! Owns the threads and the batches' memory, which goes round; not what happens to an image
//! (`augment`). What a batch holds depends on the seed, the epoch and the step alone.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use ndarray::Array4;
use rayon::prelude::*;

use super::augment::{self, Augmentation, Scratch, Table};
use crate::data::{DataError, Dataset};
use crate::engine::{Mixed, Targets};
use crate::graph::Normalization;

/// Batches that go round: one is trained on, one is ready, one is being filled.
const BATCHES: usize = 3;

/// Which batches a run needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Images of a batch; an epoch's last images that do not fill one are left out.
    pub(super) batch: usize,
    /// Epochs of the run.
    pub(super) epochs: usize,
    /// The epoch, and its step, that come first; both from 0.
    pub(super) begin: [usize; 2],
    /// What is done to the images.
    pub(super) augmentation: Augmentation,
}

/// Images and what they should be classified as.
#[derive(Debug)]
pub(super) struct Batch {
    /// `[N,H,W,C]`, normalized.
    pub(super) images: Array4<f32>,
    labels: Vec<usize>,
    /// Labels of the images that were mixed in, and the share that each image kept; empty where
    /// nothing was mixed.
    mixed: (Vec<usize>, Vec<f32>),
}

impl Batch {
    fn new(images: usize, [height, width, channels]: [usize; 3]) -> Self {
        let images = Array4::zeros([images, height, width, channels]);
        Self { images, labels: Vec::new(), mixed: Default::default() }
    }

    /// The images' targets.
    pub(super) fn targets(&self, smoothing: f32) -> Targets<'_> {
        let (labels, shares) = &self.mixed;
        let mixed = (!labels.is_empty()).then_some(Mixed { labels, shares });
        Targets { mixed, smoothing, ..Targets::new(&self.labels) }
    }
}

/// The batches of a run, in their order. Dropping it ends its threads.
pub(super) struct Loader {
    /// What is ready, and where used batches go back; none while the loader is being dropped.
    channels: Option<(Receiver<Filled>, SyncSender<Batch>)>,
    current: Option<Batch>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A batch that is ready, or why there is none.
type Filled = Result<Batch, DataError>;

impl Loader {
    /// Begins to load. Images in memory take one thread, files as many as there are cores.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub(super) fn start(
        dataset: &Dataset,
        normalization: &Normalization,
        plan: Plan,
    ) -> Result<Self, DataError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if dataset.is_streamed() { cores } else { 1 };
        Self::with_threads(dataset, normalization, plan, threads)
    }

    fn with_threads(
        dataset: &Dataset,
        normalization: &Normalization,
        plan: Plan,
        threads: usize,
    ) -> Result<Self, DataError> {
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            dataset: dataset.clone(),
            table: Table::new(normalization),
            plan,
            order: vec![0; dataset.len()],
            scratches: (0..threads).map(|_| Mutex::default()).collect(),
            pool: pool(threads)?,
            stop: Arc::clone(&stop),
        };
        let (ready, take) = sync_channel(BATCHES);
        let (put, used) = sync_channel(BATCHES);
        for _ in 0..BATCHES {
            // The channel has room for all of them.
            let _ = put.try_send(Batch::new(plan.batch, dataset.shape));
        }
        let thread = thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || worker.run(&ready, &used))
            .map_err(DataError::Threads)?;
        Ok(Self { channels: Some((take, put)), current: None, stop, thread: Some(thread) })
    }

    /// The next batch, or none after the last. The one before goes back to be filled again.
    ///
    /// # Errors
    /// When an image cannot be read; there are no batches after that.
    pub(super) fn next(&mut self) -> Result<Option<&Batch>, DataError> {
        let Some((take, put)) = &self.channels else { return Ok(None) };
        if let Some(used) = self.current.take() {
            // After the last batch nobody takes it.
            let _ = put.try_send(used);
        }
        let Ok(outcome) = take.recv() else {
            if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                resume_unwind(panic);
            }
            return Ok(None);
        };
        self.current = Some(outcome?);
        Ok(self.current.as_ref())
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread where it waits for either end.
        self.channels = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been said by the thread itself.
            let _ = thread.join();
        }
    }
}

fn pool(threads: usize) -> Result<Option<rayon::ThreadPool>, DataError> {
    if threads < 2 {
        return Ok(None);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("loader {index}"))
        .build()
        .map_err(|error| DataError::Threads(std::io::Error::other(error)))?;
    Ok(Some(pool))
}

/// The loader's side of the queue.
struct Worker {
    dataset: Dataset,
    table: Table,
    plan: Plan,
    /// Of the epoch.
    order: Vec<usize>,
    /// One a thread.
    scratches: Vec<Mutex<Scratch>>,
    /// Where one thread is not enough.
    pool: Option<rayon::ThreadPool>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self, ready: &SyncSender<Result<Batch, DataError>>, used: &Receiver<Batch>) {
        let steps = self.dataset.len() / self.plan.batch.max(1);
        let [mut epoch, mut step] = self.plan.begin;
        while epoch < self.plan.epochs {
            augment::order(self.plan.augmentation.seed, epoch, &mut self.order);
            while step < steps {
                let Ok(mut batch) = used.recv() else { return };
                let outcome = self.fill(&mut batch, epoch, step);
                let failed = outcome.is_err();
                if ready.send(outcome.map(|()| batch)).is_err() || failed {
                    return;
                }
                step += 1;
            }
            (epoch, step) = (epoch + 1, 0);
        }
    }

    fn fill(&self, batch: &mut Batch, epoch: usize, step: usize) -> Result<(), DataError> {
        let Self { dataset, table, plan, .. } = self;
        let indices = &self.order[step * plan.batch..][..plan.batch];
        let Batch { images, labels, mixed } = batch;
        let images = images.as_slice_mut().unwrap_or_default();
        let image_values = dataset.image_bytes();
        let one = |(out, &index): (&mut [f32], &usize)| {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(()); // nobody will look at the batch
            }
            let thread = rayon::current_thread_index().unwrap_or(0);
            let mut scratch = self.scratches[thread].lock().unwrap_or_else(PoisonError::into_inner);
            plan.augmentation.image(dataset, table, [epoch, index], &mut scratch, out)
        };
        let failed = match &self.pool {
            Some(pool) => pool.install(|| {
                let images = images.par_chunks_exact_mut(image_values).with_max_len(1);
                images.zip(indices).map(one).find_map_first(Result::err)
            }),
            None => {
                let images = images.chunks_exact_mut(image_values);
                images.zip(indices).map(one).find_map(Result::err)
            }
        };
        if let Some(error) = failed {
            return Err(error);
        }
        labels.clear();
        labels.extend(indices.iter().map(|&index| usize::from(dataset.label(index))));
        mixed.0.clear();
        mixed.1.clear();
        if let Some(share) = plan.augmentation.mixup_share(epoch, step) {
            augment::mixup(share, image_values, images);
            mixed.0.extend(labels.iter().rev());
            mixed.1.resize(labels.len(), share);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
