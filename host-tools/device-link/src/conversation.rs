//! Requests and their answers over a line that may damage frames.
//!
//! Owns sequence numbers, waiting and sending again. Knows frames, not what the messages mean.

use crate::device::Device;
use crate::error::LinkError;
use resmcu_wire_protocol::{
    Decoder, FRAME_BYTES_MAX, Refusal, Request, Response, SEQUENCE_NONE, decode, encode,
};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often a request is sent, when the device says that a frame arrived damaged.
const ATTEMPTS: usize = 4;

/// How long an answer may still come after the device complained of some frame: the complaint may
/// be about an earlier one.
const RESEND_AFTER: Duration = Duration::from_millis(250);

/// What the next frame is to the request that waits.
enum Answer<T> {
    /// An answer to an earlier one.
    Late,
    /// A complaint about a damaged frame.
    Complaint,
    /// The answer, or one of a stream.
    Own(Result<ControlFlow<T>, LinkError>),
}

/// One end of a line.
pub(crate) struct Conversation<D> {
    pub(crate) device: D,
    decoder: Decoder<FRAME_BYTES_MAX>,
    /// Bytes that arrived after the last frame that was taken.
    pending: VecDeque<u8>,
    sequence: u16,
}

impl<D: Device> Conversation<D> {
    pub(crate) fn new(device: D) -> Self {
        Self { device, decoder: Decoder::new(), pending: VecDeque::new(), sequence: SEQUENCE_NONE }
    }

    /// Asks, and takes answers until `read` says that one is the last; `read` gives `None` for an
    /// answer that does not belong to the question. Each may take as long as `wait`.
    pub(crate) fn exchange<T>(
        &mut self,
        request: &Request<'_>,
        wait: Duration,
        mut read: impl FnMut(&Response<'_>) -> Option<ControlFlow<T>>,
    ) -> Result<T, LinkError> {
        self.sequence = self.sequence.checked_add(1).unwrap_or(SEQUENCE_NONE + 1);
        let name = name_of(request);
        let mut buffer = [0; FRAME_BYTES_MAX];
        let frame = encode(self.sequence, request, &mut buffer)
            .map_err(|_| LinkError::Line { reason: format!("{name} does not fit a frame") })?;
        let mut attempts = ATTEMPTS;
        self.device.send(frame)?;
        let mut patience = wait;
        loop {
            match self.next_answer(name, patience, &mut read)? {
                Some(Answer::Own(answer)) => match answer? {
                    ControlFlow::Continue(()) => patience = wait,
                    ControlFlow::Break(value) => return Ok(value),
                },
                Some(Answer::Late) => {}
                Some(Answer::Complaint) if attempts > 1 => patience = wait.min(RESEND_AFTER),
                Some(Answer::Complaint) => patience = wait,
                None if patience < wait => {
                    attempts -= 1;
                    patience = wait;
                    self.device.send(frame)?;
                }
                None => {
                    let said = self.device.last_words();
                    return Err(LinkError::TimedOut { request: name, waited: wait, said });
                }
            }
        }
    }

    /// The next intact frame, as `request` sees it; `None` if none comes within `patience`.
    fn next_answer<T>(
        &mut self,
        request: &'static str,
        patience: Duration,
        read: &mut impl FnMut(&Response<'_>) -> Option<ControlFlow<T>>,
    ) -> Result<Option<Answer<T>>, LinkError> {
        let deadline = Instant::now() + patience;
        let mut chunk = [0; 1024];
        loop {
            while let Some(byte) = self.pending.pop_front() {
                let Some(Ok(frame)) = self.decoder.push(byte) else { continue };
                let Ok((sequence, response)) = decode::<Response<'_>>(frame) else { continue };
                return Ok(Some(match response {
                    Response::Error(Refusal::BadFrame { .. }) if sequence == SEQUENCE_NONE => {
                        Answer::Complaint
                    }
                    _ if sequence != self.sequence => Answer::Late,
                    Response::Error(refusal) => Answer::Own(Err(refused(request, refusal))),
                    response => Answer::Own(read(&response).ok_or_else(|| {
                        let answer = format!("{response:?}");
                        LinkError::Unexpected { request, answer }
                    })),
                }));
            }
            let bytes = self.device.receive(&mut chunk, deadline)?;
            if bytes == 0 {
                return Ok(None);
            }
            self.pending.extend(&chunk[..bytes]);
        }
    }
}

fn refused(request: &'static str, refusal: Refusal) -> LinkError {
    match refusal {
        Refusal::UnsupportedVersion { device, .. } => LinkError::Version { device },
        Refusal::NoModel(failure) => LinkError::NoModel { failure },
        refusal => LinkError::Refused { request, refusal },
    }
}

fn name_of(request: &Request<'_>) -> &'static str {
    match request {
        Request::Hello { .. } => "the greeting",
        Request::WriteInput { .. } => "a write of the image",
        Request::Infer => "an inference",
        Request::Bench => "a counted inference",
        Request::Trace => "a traced inference",
        Request::ReadOutput { .. } => "a read of the output",
        Request::Memory => "the question for its memory",
        Request::Calibrate { .. } => "a calibration",
        Request::Stop => "the request to stop",
        Request::InferRows { .. } => "an inference by rows",
        Request::SelfTest => "a self test",
        Request::Slots => "the question for its slots",
        Request::UpdateBegin { .. } => "the begin of an update",
        Request::UpdateWrite { .. } => "a piece of an update",
        Request::UpdateCommit { .. } => "the end of an update",
        Request::Reset => "the request to reset",
        Request::Seen => "what was seen",
    }
}
