//! A sorted, merged set of byte ranges: what is done, what was sent, what is still to send.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::words::Span;

/// A set of bytes, kept as disjoint ranges that do not touch. Serialised as `[[start, end], …]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intervals {
    ranges: BTreeMap<u64, u64>,
    covered: u64,
}

impl Intervals {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new(), covered: 0 }
    }

    /// Adds the bytes of `span`; how many of them are new.
    pub fn insert(&mut self, span: Span) -> u64 {
        if span.is_empty() {
            return 0;
        }
        let before = self.covered;
        let (mut start, mut end) = (span.start, span.end);
        if let Some((&s, e)) = self.ranges.range_mut(..=start).next_back()
            && *e >= start
        {
            if *e >= end {
                return 0;
            }
            // The common case, a range that grows at its end, touches no tree node but its own.
            start = s;
            self.covered -= *e - s;
            *e = end;
        }
        while let Some((&s, &e)) = self.ranges.range((start + 1)..=end).next() {
            self.ranges.remove(&s);
            self.covered -= e - s;
            end = end.max(e);
        }
        self.ranges.insert(start, end);
        self.covered += end - start;
        self.covered - before
    }

    /// Takes the bytes of `span` out; how many of them were in.
    pub fn remove(&mut self, span: Span) -> u64 {
        if span.is_empty() {
            return 0;
        }
        let before = self.covered;
        if let Some((&s, &e)) = self.ranges.range(..span.start).next_back()
            && e > span.start
        {
            self.ranges.insert(s, span.start);
            self.covered -= e - span.start;
            if e > span.end {
                self.ranges.insert(span.end, e);
                self.covered += e - span.end;
                return before - self.covered;
            }
        }
        while let Some((&s, &e)) = self.ranges.range(span.start..span.end).next() {
            self.ranges.remove(&s);
            self.covered -= e - s;
            if e > span.end {
                self.ranges.insert(span.end, e);
                self.covered += e - span.end;
            }
        }
        before - self.covered
    }

    /// Whether every byte of `span` is in; true for an empty span.
    pub fn contains(&self, span: Span) -> bool {
        span.is_empty() || self.ranges.range(..=span.start).next_back().is_some_and(|(_, &end)| end >= span.end)
    }

    /// How many bytes are in.
    pub const fn covered(&self) -> u64 {
        self.covered
    }

    /// How many bytes of `span` are in.
    pub fn covered_in(&self, span: Span) -> u64 {
        self.parts(span).map(Span::len).sum()
    }

    /// The parts of `span` that are in, in order.
    pub fn parts(&self, span: Span) -> impl Iterator<Item = Span> + '_ {
        let first = self.ranges.range(..=span.start).next_back().map_or(span.start, |(&start, _)| start);
        let end = span.end.max(first);
        self.ranges
            .range(first..end)
            .map(move |(&s, &e)| Span::new(s.max(span.start), e.min(span.end)))
            .filter(|part| !part.is_empty())
    }

    /// The parts of `within` that are not in, in order.
    pub fn gaps(&self, within: Span) -> impl Iterator<Item = Span> + '_ {
        let mut at = within.start;
        let mut parts = self.parts(within);
        std::iter::from_fn(move || {
            while at < within.end {
                let part = parts.next().unwrap_or_else(|| Span::new(within.end, within.end));
                let gap = Span::new(at, part.start);
                at = part.end;
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// Bytes in without a gap from byte 0.
    pub fn prefix(&self) -> u64 {
        self.ranges.get(&0).copied().unwrap_or(0)
    }

    /// One past the highest byte; 0 where there is none.
    pub fn end(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, &end)| end)
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Span> {
        self.ranges.first_key_value().map(|(&start, &end)| Span::new(start, end))
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.ranges.iter().map(|(&start, &end)| Span::new(start, end))
    }

    /// How many ranges it takes.
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// Whether no byte is in.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The bytes that are in both.
    pub fn intersect(&self, other: &Self) -> Self {
        other.iter().flat_map(|span| self.parts(span)).collect()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.covered = 0;
    }
}

impl FromIterator<Span> for Intervals {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut set = Self::new();
        set.extend(spans);
        set
    }
}

impl Extend<Span> for Intervals {
    fn extend<I: IntoIterator<Item = Span>>(&mut self, spans: I) {
        for span in spans {
            self.insert(span);
        }
    }
}

impl From<Span> for Intervals {
    fn from(span: Span) -> Self {
        std::iter::once(span).collect()
    }
}

impl Serialize for Intervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.ranges)
    }
}

impl<'de> Deserialize<'de> for Intervals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(u64, u64)>::deserialize(deserializer)?;
        if let Some((start, end)) = pairs.iter().find(|(start, end)| start > end) {
            return Err(serde::de::Error::custom(format!("range [{start}, {end}] ends before it begins")));
        }
        Ok(pairs.into_iter().map(|(start, end)| Span::new(start, end)).collect())
    }
}
