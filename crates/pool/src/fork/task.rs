//! A task: what a forked process does with a call. And the two streams that it is given for that.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use crate::fork::frame::{FrameError, HEADER_BYTES, Header, Kind, Outcome};

/// Bytes read from the pipe at once, or gathered before they are written: the size of a pipe that nobody has enlarged
/// (pipe(7)).
const BUFFER_BYTES: usize = 64 << 10;

/// What was loaded, and is called in processes forked from the one that has loaded it.
pub trait Task {
    /// Does what `message` says with what `input` gives, and writes the result to `output`. Input that is left unread is
    /// dropped. A panic fails the call, as an error does; both end the process, as does what ends processes.
    ///
    /// # Errors
    /// A text for people; the call has failed then, and what was written is dropped.
    fn run(&self, message: &[u8], input: &mut Input, output: &mut Output) -> Result<(), String>;
}

/// The input of one call, as a file is read. It ends where the call's records end.
#[derive(Debug)]
pub struct Input {
    pipe: BufReader<File>,
    /// Bytes of the data frame at hand that were not read yet.
    data_left: usize,
    /// Whether the end of the call's input was read.
    ended: bool,
}

/// What the pool asks for next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The surroundings.
    Setup(Vec<u8>),
    /// A call.
    Call { message: Vec<u8>, is_last: bool },
    /// Nothing more.
    Nothing,
}

impl Input {
    pub(crate) fn new(pipe: File) -> Input {
        Input { pipe: BufReader::with_capacity(BUFFER_BYTES, pipe), data_left: 0, ended: true }
    }

    /// What the pool asks for next; reads over what is left of the input before.
    pub(crate) fn next_asked(&mut self) -> io::Result<Asked> {
        self.skip_to_the_end()?;
        if self.pipe.fill_buf()?.is_empty() {
            return Ok(Asked::Nothing);
        }
        let Header { kind, length } = self.header()?;
        let is_last = match kind {
            Kind::Setup => return Ok(Asked::Setup(self.whole(length)?)),
            Kind::Call => false,
            Kind::LastCall => true,
            Kind::Data | Kind::End | Kind::Done => return Err(out_of_place("data outside a call")),
        };
        let message = self.whole(length)?;
        self.ended = false;
        Ok(Asked::Call { message, is_last })
    }

    fn skip_to_the_end(&mut self) -> io::Result<()> {
        while !self.ended {
            let length = self.fill_buf()?.len();
            self.consume(length);
        }
        Ok(())
    }

    fn header(&mut self) -> io::Result<Header> {
        let mut header = [0; HEADER_BYTES];
        self.pipe.read_exact(&mut header)?;
        Header::parse(header).map_err(invalid)
    }

    fn whole(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.pipe.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads headers until there is data, or the input has ended.
    fn find_data(&mut self) -> io::Result<()> {
        while self.data_left == 0 && !self.ended {
            let Header { kind, length } = self.header()?;
            match kind {
                Kind::Data => self.data_left = length,
                Kind::End => self.ended = true,
                Kind::Setup | Kind::Call | Kind::LastCall | Kind::Done => {
                    return Err(out_of_place("a call within a call"));
                }
            }
        }
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.find_data()?;
        let room = buffer.len().min(self.data_left);
        if room == 0 {
            // The pipe may have nothing more until the next call.
            return Ok(0);
        }
        let length = self.pipe.read(&mut buffer[..room])?;
        if length == 0 {
            return Err(cut_off());
        }
        self.data_left -= length;
        Ok(length)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.find_data()?;
        if self.data_left == 0 {
            return Ok(&[]);
        }
        let buffer = self.pipe.fill_buf()?;
        if buffer.is_empty() {
            return Err(cut_off());
        }
        Ok(&buffer[..buffer.len().min(self.data_left)])
    }

    fn consume(&mut self, length: usize) {
        self.data_left -= length;
        self.pipe.consume(length);
    }
}

/// The pool is gone, or has given the call up.
fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the input was cut off within a record's frame")
}

fn out_of_place(what: &'static str) -> io::Error {
    invalid(FrameError::OutOfPlace(what))
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The result of one call, as a file is written. What is written is gathered until there is enough to be worth a write;
/// [`flush`](Write::flush) sends it at once.
#[derive(Debug)]
pub struct Output {
    pipe: File,
    /// A frame of data that is being gathered, with room for its header at the front.
    gathered: Vec<u8>,
}

impl Output {
    pub(crate) fn new(pipe: File) -> Output {
        let mut gathered = Vec::with_capacity(HEADER_BYTES + BUFFER_BYTES);
        gathered.resize(HEADER_BYTES, 0);
        Output { pipe, gathered }
    }

    /// Completes the call's result, in one write with its last bytes.
    pub(crate) fn end(&mut self, outcome: &Outcome) -> io::Result<()> {
        let payload = outcome.payload();
        let header = Header::new(Kind::Done, payload.len()).map_err(invalid)?;
        self.complete_frame()?;
        let begin = if self.gathered.len() > HEADER_BYTES { 0 } else { HEADER_BYTES };
        self.gathered.extend_from_slice(&header.bytes());
        self.gathered.extend_from_slice(&payload);
        let written = self.pipe.write_all(&self.gathered[begin..]);
        self.gathered.truncate(HEADER_BYTES);
        written
    }

    /// Writes the header of what was gathered.
    fn complete_frame(&mut self) -> io::Result<()> {
        let header = Header::new(Kind::Data, self.gathered.len() - HEADER_BYTES).map_err(invalid)?;
        self.gathered[..HEADER_BYTES].copy_from_slice(&header.bytes());
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > HEADER_BYTES + BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() < BUFFER_BYTES {
            self.gathered.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        // Not copied once more. A frame can be no longer than its header can say.
        let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
        let header = Header::new(Kind::Data, bytes.len()).map_err(invalid)?;
        self.pipe.write_all(&header.bytes())?;
        self.pipe.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.len() == HEADER_BYTES {
            return Ok(());
        }
        self.complete_frame()?;
        let written = self.pipe.write_all(&self.gathered);
        self.gathered.truncate(HEADER_BYTES);
        written
    }
}
