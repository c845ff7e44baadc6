//! Before and after images of an update: what is the same is copied, and what is not is told.

use std::ops::Range;

use towpath_binlog::{ParseError, Reader};

use super::{Image, Walk, bit, quick};
use crate::plan::{UPDATED_FROM_END, Updates};
use towpath_protocol::protobuf;

/// A column of a before image.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) state: State,
    /// Where its value lies in the event.
    pub(super) raw: Range<usize>,
    /// Where its `Column` message lies in the arena.
    pub(super) message: Range<usize>,
    /// Where its text lies there.
    pub(super) text: Range<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Not in the image.
    #[default]
    Absent,
    Null,
    Value,
}

impl<'e> Walk<'_, 'e> {
    /// Two images that have all columns.
    pub(super) fn whole_pair(&mut self, r: &mut Reader<'e>) -> Result<(), ParseError> {
        let plan = self.plan;
        let nulls_len = plan.columns.len().div_ceil(8);
        let nulls = r.bytes(nulls_len, "null bitmap")?;
        let mut index = self.kept(r, nulls, 0)?;
        while let Some(column) = plan.columns.get(index) {
            if bit(nulls, index) {
                self.null(r.offset(), Image::Before, (index, column));
            } else {
                let raw_start = r.offset();
                self.value(r, Image::Before, column)?;
                self.finish(Image::Before, index, raw_start..r.offset());
            }
            index += 1;
            index += self.kept(r, nulls, index)?;
        }
        let nulls_after = r.bytes(nulls_len, "null bitmap")?;
        let are_alike = nulls == nulls_after;
        index = 0;
        loop {
            if are_alike {
                index += self.copy_alike(r, index)?;
            }
            let Some(column) = plan.columns.get(index) else { return Ok(()) };
            if bit(nulls_after, index) {
                self.null(r.offset(), Image::After, (index, column));
            } else if are_alike || !self.copy_same(r, index)? {
                self.one(r, Image::After, index)?;
            }
            index += 1;
        }
    }

    /// Usual columns of a before image from `index` on; returns how many.
    #[inline]
    fn kept(
        &mut self,
        r: &mut Reader<'e>,
        nulls: &[u8],
        index: usize,
    ) -> Result<usize, ParseError> {
        let columns = self.plan.usual_from(index);
        if columns.is_empty() {
            return Ok(0);
        }
        let kept = self.writer.before.get_mut(index..).unwrap_or_default();
        let (from, to_start) = ((r.rest(), r.offset()), self.out.len());
        let to = (self.out.room(quick::ROOM), to_start);
        let part =
            quick::kept_part((columns, Image::Before, self.zone), (nulls, index), from, to, kept);
        self.took(r, part)
    }

    /// A column whose bytes are those of the before image is copied; false when they are not.
    pub(super) fn copy_same(
        &mut self,
        r: &mut Reader<'e>,
        index: usize,
    ) -> Result<bool, ParseError> {
        let before = self.writer.before.get(index).filter(|kept| kept.state == State::Value);
        let raw = before.and_then(|kept| self.event.rows.get(kept.raw.clone()));
        // A value tells its length at its beginning, so that equal bytes are an equal value.
        if !raw.is_some_and(|raw| !raw.is_empty() && r.rest().starts_with(raw)) {
            return Ok(false);
        }
        self.copy(r, index..index + 1)?;
        Ok(true)
    }

    /// Columns from `index` on whose bytes are those of the before image, which has the same ones NULL,
    /// are copied; returns how many.
    fn copy_alike(&mut self, r: &mut Reader<'e>, index: usize) -> Result<usize, ParseError> {
        let kept = self.writer.before.get(index..).unwrap_or_default();
        let Some(first) = kept.first() else { return Ok(0) };
        let raw = self.event.rows.get(first.raw.start..).unwrap_or_default();
        let same = first.raw.start + quick::common_prefix(raw, r.rest());
        let count = kept.iter().take_while(|kept| kept.raw.end <= same).count();
        self.copy(r, index..index + count)?;
        Ok(count)
    }

    /// Columns are those of the before image, and so are their messages.
    fn copy(&mut self, r: &mut Reader<'e>, columns: Range<usize>) -> Result<(), ParseError> {
        let kept = self.writer.before.get(columns).unwrap_or_default();
        let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return Ok(()) };
        let messages = first.message.start..last.message.end;
        r.bytes(last.raw.end - first.raw.start, "value")?;
        let at = self.out.len();
        self.out.repeat(messages.clone());
        let written = self.out.written_mut().get_mut(at..).unwrap_or_default();
        for column in kept {
            if let Some(tag) = written.get_mut(column.message.start - messages.start) {
                *tag = Image::After.tag();
            }
        }
        Ok(())
    }

    /// A column that the after image lacks, as the before image has it.
    pub(super) fn unchanged(&mut self, index: usize) {
        let kept = self.writer.before.get(index).filter(|kept| kept.state != State::Absent);
        let Some(message) = kept.map(|kept| kept.message.clone()) else { return };
        let at = self.out.len();
        self.out.repeat(message);
        if let Some(tag) = self.out.written_mut().get_mut(at) {
            *tag = Image::After.tag();
        }
    }

    /// Says if a column is updated, by Canal's rule: it is unless the before image has the same text
    /// for it. `raw`: where the value that was just written lies in the event.
    pub(super) fn finish(&mut self, image: Image, index: usize, raw: Range<usize>) {
        let updates = self.plan.columns.get(index).map_or(Updates::Told, |column| column.updates);
        match image {
            Image::Inserted if updates == Updates::NotTold => self.set_updated(false),
            Image::Inserted | Image::Deleted => {}
            Image::Before => {
                if let Some(slot) = self.writer.before.get_mut(index) {
                    *slot = Kept { raw, ..self.written.clone() };
                }
            }
            Image::After => {
                let written = self.out.written();
                let text = |range: &Range<usize>| written.get(range.clone());
                let updated = match self.writer.before.get(index) {
                    Some(Kept { state: State::Value, text: before, .. }) => {
                        text(before) != text(&self.written.text)
                    }
                    Some(Kept { state: State::Absent | State::Null, .. }) | None => true,
                };
                self.set_updated(updated && updates == Updates::Told);
            }
        }
    }

    /// In the message that was just written.
    fn set_updated(&mut self, updated: bool) {
        let text = &self.written.text;
        let text_head_len = protobuf::varint_len(protobuf::len64(text.len()));
        let at = text.start - text_head_len - UPDATED_FROM_END;
        if let Some(byte) = self.out.written_mut().get_mut(at) {
            *byte = u8::from(updated);
        }
    }
}
