//! Which small results become one object, and when. Pure.

use std::collections::BTreeMap;

/// A result's place in the output's order: its chunk's index and cut.
pub(crate) type Place = (u64, u32);

/// The bounds of a packer, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// What makes a pack worth an object.
    pub(crate) pack: u64,
    /// Most that is held in one result, exclusive.
    pub(crate) result: u64,
    /// Most that is held in all.
    pub(crate) held: u64,
}

/// Small results that are held until enough neighbours make a pack.
///
/// Results that stand one after another in the output are neighbours when nothing can come between them any more. A run of
/// neighbours in one object is one range of it, however many results it has, so the packer waits for those that are yet to come
/// between others, as long as there is room. Of a run it keeps what makes the last pack, so that no small one is left at the end.
/// When there might be too little room for one more result, what makes a pack goes, and if that is not enough, all that is held.
#[derive(Debug)]
pub(crate) struct Packer<T> {
    bounds: Bounds,
    slots: BTreeMap<Place, Slot<T>>,
    held_bytes: u64,
}

/// What is known of a place.
#[derive(Debug)]
enum Slot<T> {
    /// Its result is yet to come, if it ever does.
    ToCome,
    /// There is nothing at it.
    Empty,
    /// Its result is in an object.
    Stored,
    Held {
        bytes: u64,
        what: T,
    },
}

impl<T> Packer<T> {
    /// A packer for results that will come at these places.
    pub(crate) fn new(bounds: Bounds, places: impl Iterator<Item = Place>) -> Self {
        Self { bounds, slots: places.map(|place| (place, Slot::ToCome)).collect(), held_bytes: 0 }
    }

    /// A result is to come at this place, for the first time or again.
    pub(crate) fn expect(&mut self, place: Place) {
        self.slots.insert(place, Slot::ToCome);
    }

    /// The result at this place has no byte.
    pub(crate) fn is_empty_at(&mut self, place: Place) {
        self.slots.insert(place, Slot::Empty);
    }

    /// The result at this place has an object of its own.
    pub(crate) fn is_stored_at(&mut self, place: Place) {
        self.slots.insert(place, Slot::Stored);
    }

    /// Holds a result of so many bytes.
    pub(crate) fn hold(&mut self, place: Place, bytes: u64, what: T) {
        debug_assert!(bytes < self.bounds.result && self.held_bytes + bytes <= self.bounds.held);
        self.held_bytes += bytes;
        self.slots.insert(place, Slot::Held { bytes, what });
    }

    /// Takes out what is to be stored now: packs of runs that are long enough; or all, where there may be no room for another
    /// result.
    pub(crate) fn take_full(&mut self) -> Vec<Vec<T>> {
        let mut packs = Vec::new();
        if self.held_bytes >= 2 * self.bounds.pack {
            for run in self.runs() {
                let mut cut = self.cut(&run);
                let _kept = cut.pop();
                packs.extend(cut);
            }
        }
        let mut taken = self.take(packs);
        if self.is_short_of_room() {
            // Others wait on for those between them.
            let mut runs = self.runs();
            runs.retain(|run| self.bytes_of(run) >= self.bounds.pack);
            let packs = runs.iter().flat_map(|run| self.cut(run)).collect();
            taken.extend(self.take(packs));
        }
        if self.is_short_of_room() {
            taken.extend(self.take_all());
        }
        taken
    }

    /// Whether there may be no room for another result.
    fn is_short_of_room(&self) -> bool {
        self.held_bytes + self.bounds.result > self.bounds.held
    }

    /// Takes out all that is held.
    pub(crate) fn take_all(&mut self) -> Vec<Vec<T>> {
        let held = self.slots.iter().filter(|(_, slot)| matches!(slot, Slot::Held { .. }));
        let places: Vec<Place> = held.map(|(place, _)| *place).collect();
        let packs = self.cut(&places);
        self.take(packs)
    }

    /// What is held, by runs of neighbours.
    fn runs(&self) -> Vec<Vec<Place>> {
        let (mut runs, mut run) = (Vec::new(), Vec::new());
        let mut last_index = 0;
        for (place, slot) in &self.slots {
            // A redrive does over only some indexes; the results of those between are elsewhere.
            if place.0 > last_index + 1 {
                runs.push(std::mem::take(&mut run));
            }
            last_index = place.0;
            match slot {
                Slot::ToCome | Slot::Stored => runs.push(std::mem::take(&mut run)),
                Slot::Empty => {}
                Slot::Held { .. } => run.push(*place),
            }
        }
        runs.push(run);
        runs
    }

    /// Cuts what is held at these places into packs, each worth an object if all of it is.
    fn cut(&self, places: &[Place]) -> Vec<Vec<Place>> {
        let (mut packs, mut pack, mut pack_bytes) = (Vec::new(), Vec::new(), 0);
        let mut left_bytes = self.bytes_of(places);
        for place in places {
            let bytes = self.bytes_at(place);
            left_bytes -= bytes;
            pack_bytes += bytes;
            pack.push(*place);
            if pack_bytes >= self.bounds.pack && left_bytes >= self.bounds.pack {
                packs.push(std::mem::take(&mut pack));
                pack_bytes = 0;
            }
        }
        if !pack.is_empty() {
            packs.push(pack);
        }
        packs
    }

    /// Takes out what is held at the places of these packs.
    fn take(&mut self, packs: Vec<Vec<Place>>) -> Vec<Vec<T>> {
        packs
            .into_iter()
            .map(|pack| pack.into_iter().filter_map(|place| self.take_from(place)).collect())
            .collect()
    }

    fn take_from(&mut self, place: Place) -> Option<T> {
        let slot = self.slots.get_mut(&place)?;
        match std::mem::replace(slot, Slot::Stored) {
            Slot::Held { bytes, what } => {
                self.held_bytes -= bytes;
                Some(what)
            }
            other => {
                *slot = other;
                None
            }
        }
    }

    fn bytes_of(&self, places: &[Place]) -> u64 {
        places.iter().map(|place| self.bytes_at(place)).sum()
    }

    fn bytes_at(&self, place: &Place) -> u64 {
        match self.slots.get(place) {
            Some(Slot::Held { bytes, .. }) => *bytes,
            _ => 0,
        }
    }
}
