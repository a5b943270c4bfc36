//! What was read and not yet looked at.

use std::sync::Arc;

use bytes::{Buf, BytesMut};

use super::stream::stream_decoder;
use crate::error::{Error, Result};
use crate::record::BatchBuilder;
use crate::source::reconnect::Place;
use crate::spool::{At, Piece, Reader, Shared, blocking};
use crate::translate::{StreamTranslator, Target, TranslateOptions};

/// The end of a spool, from the last command on that was passed on.
#[derive(Debug, Clone)]
pub(in crate::source) struct Tail {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Target,
    pub(super) options: TranslateOptions,
}

impl Tail {
    /// Behind the last command in it that is one for a target; `None` if its beginning is no longer there.
    pub(in crate::source) async fn passed_on(&self) -> Result<Option<Place>> {
        let tail = self.clone();
        blocking(move || tail.look()).await
    }

    fn look(&self) -> Result<Option<Place>> {
        let (offset, db) = self.shared.passed_on();
        let mut place = Place { offset, db };
        let Some(mut reader) = Reader::starting(self.shared.clone(), At::Stream(offset)) else { return Ok(None) };
        let mut translator = StreamTranslator::new(self.target, self.options.clone(), db);
        let (mut decoder, mut buffer) = (stream_decoder(), BytesMut::new());
        let mut out = BatchBuilder::new(0);
        let mut offset = offset;
        loop {
            let pieces = reader.read()?;
            if pieces.is_empty() {
                return Ok(Some(place));
            }
            for piece in pieces {
                match piece {
                    Piece::Data { at, .. } if buffer.is_empty() && at != At::Stream(offset) => return Ok(None),
                    Piece::Data { bytes, arrived, .. } => {
                        translator.arrived(arrived);
                        buffer.extend_from_slice(&bytes);
                    }
                    Piece::Renamed(history) => {
                        if let Some(db) = history.rewound {
                            translator.rewind(&mut out);
                            translator.select(db);
                            (decoder, offset) = (stream_decoder(), history.from);
                            buffer.clear();
                        }
                    }
                }
                while let Some((length, command)) = decoder
                    .decode(&buffer)
                    .map_err(|error| Error::protocol("the stream cannot be read").with_source(error))?
                {
                    offset += length as u64;
                    translator.command(&command, offset, &mut out)?;
                    if !translator.in_transaction() {
                        if !out.is_empty() {
                            place = Place { offset, db: translator.db() };
                        }
                        out.truncate(0);
                    }
                    buffer.advance(length);
                }
            }
        }
    }
}
