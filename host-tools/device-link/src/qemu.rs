//! Boards in QEMU: a child process, its UART on a socket, its log on standard output. It ends with
//! this process, by `leash`.

use crate::device::Device;
use crate::error::LinkError;
use crate::firmware::Firmware;
use crate::leash::Leashed;
use crate::log::{LastWords, LogLine, decode};
use crate::profile::Profiler;
use crate::target::Target;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// How long QEMU may take to start.
const START_MAX: Duration = Duration::from_secs(30);

/// The number of a model that a board starts with.
const FIRST_SEQUENCE: u32 = 1;

/// How often a wait looks whether the process lives.
const POLL: Duration = Duration::from_millis(20);

/// An emulated board that runs. It ends when this is dropped.
pub struct Qemu {
    child: Leashed,
    serial: TcpStream,
    /// Read by QEMU when it starts; removed with this.
    _model: Vec<NamedTempFile>,
    readers: Vec<JoinHandle<()>>,
    said: LastWords,
}

impl Qemu {
    /// Starts `target` with `firmware`, and with `model` in its first slot. Every line of the
    /// device's log is given to `log`, on another thread.
    ///
    /// # Errors
    /// Where the model does not fit, the firmware is another board's, or QEMU does not start.
    pub fn start(
        target: &Target,
        firmware: &Firmware,
        model: Option<&[u8]>,
        log: impl FnMut(LogLine) + Send + 'static,
    ) -> Result<Self, LinkError> {
        Self::start_profiled(target, firmware, model, None, log)
    }

    /// As [`start`](Self::start), with a plugin that counts executed instructions.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_profiled(
        target: &Target,
        firmware: &Firmware,
        model: Option<&[u8]>,
        profiler: Option<&Profiler>,
        log: impl FnMut(LogLine) + Send + 'static,
    ) -> Result<Self, LinkError> {
        let bytes = model.map_or(0, |model| model.len() as u64);
        if bytes > target.slot_bytes {
            let (slot, target) = (target.slot_bytes, target.name);
            return Err(LinkError::ModelTooLarge { bytes, slot, target });
        }
        firmware.check_slot(target)?;
        let program =
            which::which(target.emulator.program).map_err(|_| LinkError::ToolMissing {
                program: target.emulator.program,
                package: target.emulator.package,
            })?;
        let listener = start("opening a socket for the serial line", || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        let port = start("reading the socket's port", || Ok(listener.local_addr()?.port()))?;
        // QEMU's loader takes no file that is larger than the machine's RAM.
        let piece = usize::try_from(target.ram_bytes).unwrap_or(usize::MAX);
        let model =
            model.map(|model| write_temporary(model, piece)).transpose()?.unwrap_or_default();
        let mut command = Command::new(program);
        command.args(arguments(target, firmware, port));
        command.args(profiler.into_iter().flat_map(Profiler::arguments));
        for (file, address) in model.iter().zip((target.slot_address..).step_by(piece)) {
            let path = file.path().display().to_string().replace(',', ",,");
            let loader = format!("loader,file={path},addr={address:#x},force-raw=on");
            command.args(["-device", &loader]);
        }
        let table = firmware.table();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = start("starting QEMU", || Leashed::spawn(&mut command))?;
        let said = LastWords::default();
        let readers = read_output(&mut child, table, &said, log);
        let serial = accept(&listener, &mut child, &said)?;
        Ok(Self { child, serial, _model: model, readers, said })
    }

    /// Ends it at once, as if its plug were pulled.
    pub fn kill(&mut self) {
        self.child.end();
    }

    /// The error of a device that is gone, after its last words arrived.
    fn died(&mut self, status: ExitStatus) -> LinkError {
        for reader in self.readers.drain(..) {
            let _ = reader.join(); // a log that panicked is not the device's death
        }
        LinkError::Died { how: in_words(status), said: self.said.text() }
    }

    /// What a closed line means: the process ended, or it is ended now.
    fn closed(&mut self) -> LinkError {
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return self.died(status);
            }
            thread::sleep(POLL);
        }
        LinkError::Line { reason: "QEMU closed it and lives on".into() }
    }
}

impl Device for Qemu {
    fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        match self.serial.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) if is_time_out(&error) => {
                Err(LinkError::Line { reason: "the device takes no bytes".into() })
            }
            Err(_) => Err(self.closed()),
        }
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, LinkError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(0);
            }
            let line = |error: std::io::Error| LinkError::Line { reason: error.to_string() };
            self.serial.set_read_timeout(Some(left)).map_err(line)?;
            match self.serial.read(buffer) {
                Ok(0) => return Err(self.closed()),
                Ok(bytes) => return Ok(bytes),
                Err(error) if is_time_out(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(self.closed()),
            }
        }
    }

    fn last_words(&self) -> String {
        self.said.text()
    }

    fn wait(&mut self, deadline: Instant) -> Result<Option<i32>, LinkError> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status.code()),
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => {
                    let reason = "QEMU lives on after its board was stopped".into();
                    return Err(LinkError::Line { reason });
                }
                Err(error) => return Err(LinkError::Line { reason: error.to_string() }),
            }
        }
    }
}

fn arguments(target: &Target, firmware: &Firmware, port: u16) -> Vec<String> {
    let chardev = format!("socket,id=serial,host=127.0.0.1,port={port},nodelay=on");
    let kernel = firmware.path().display().to_string();
    let fixed = ["-display", "none", "-monitor", "none", "-no-reboot"];
    // One instruction is 256 ns of virtual time: what the boards' counters count on.
    let counted = ["-icount", "shift=8,sleep=off"];
    let log = ["-semihosting-config", "enable=on,target=native"];
    let own = ["-M", target.emulator.machine];
    let rest = ["-chardev", &chardev, "-serial", "chardev:serial", "-kernel", &kernel];
    // The target's come last: they may undo one of the others.
    [&own[..], &fixed, &counted, &log, &rest, target.emulator.arguments]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// The first slot with `model` in it, in files of `piece` bytes.
fn write_temporary(model: &[u8], piece: usize) -> Result<Vec<NamedTempFile>, LinkError> {
    let slot = [&resmcu_model_slots::image(model, FIRST_SEQUENCE)[..], model].concat();
    start("writing the model to temporary files", || {
        let write = |bytes: &[u8]| {
            let mut file = NamedTempFile::with_prefix("resmcu-")?;
            file.write_all(bytes)?;
            file.flush()?;
            Ok(file)
        };
        slot.chunks(piece.max(1)).map(write).collect()
    })
}

/// Threads that decode the log on standard output and keep what QEMU says on standard error.
fn read_output(
    child: &mut Leashed,
    table: defmt_decoder::Table,
    said: &LastWords,
    mut log: impl FnMut(LogLine) + Send + 'static,
) -> Vec<JoinHandle<()>> {
    let child = child.child_mut();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (logged, complained) = (said.clone(), said.clone());
    let logs = stdout.map(|stdout| {
        thread::spawn(move || {
            decode(&table, stdout, |line| {
                logged.push(line.to_string());
                log(line);
            });
        })
    });
    let complaints = stderr.map(|stderr| {
        thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.for_each(|line| complained.push(line));
        })
    });
    logs.into_iter().chain(complaints).collect()
}

/// Waits for QEMU to connect to the serial line.
fn accept(
    listener: &TcpListener,
    child: &mut Leashed,
    said: &LastWords,
) -> Result<TcpStream, LinkError> {
    let deadline = Instant::now() + START_MAX;
    loop {
        match listener.accept() {
            Ok((serial, _)) => {
                return start("setting up the serial line", || {
                    serial.set_nonblocking(false)?;
                    serial.set_nodelay(true)?;
                    serial.set_write_timeout(Some(START_MAX))?;
                    Ok(serial)
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(LinkError::Line { reason: error.to_string() }),
        }
        if let Ok(Some(status)) = child.try_wait() {
            thread::sleep(POLL); // let the reader of its complaint catch up
            return Err(LinkError::Died { how: in_words(status), said: said.text() });
        }
        if Instant::now() > deadline {
            let (request, waited) = ("the start of QEMU", START_MAX);
            return Err(LinkError::TimedOut { request, waited, said: said.text() });
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn start<T>(what: &'static str, make: impl FnOnce() -> std::io::Result<T>) -> Result<T, LinkError> {
    make().map_err(|error| LinkError::Start { what, reason: error.to_string() })
}

fn is_time_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// An exit status, with the meanings that the firmware gives to its codes.
fn in_words(status: ExitStatus) -> String {
    match status.code() {
        Some(101) => "exit code 101: the firmware panicked".into(),
        Some(102) => "exit code 102: a fault, or a stack overflow".into(),
        _ => status.to_string(),
    }
}
