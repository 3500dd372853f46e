//! What could not be seen or followed, as the verdict's coverage says it: nothing is left out of sight in silence.

use std::collections::BTreeSet;

use super::verdict::Coverage;
use super::{Analysis, matcher};
use crate::store::AssetSet;

impl Analysis {
    pub(super) fn cover(&self, mut coverage: Coverage) -> Coverage {
        coverage.lost = coverage.lost.max(self.lost);
        // What arrived counts where there was somewhere to arrive; else what was tried.
        if self.gateway.any {
            coverage.connections = self.gateway.connections;
            coverage.decrypted = self.gateway.connections.saturating_sub(self.gateway.unread);
            coverage.unread = self.gateway.refused.iter().cloned().collect();
        } else {
            coverage.connections = coverage.connections.max(self.connections);
        }
        coverage.payloads_cut = coverage.payloads_cut.max(self.payloads_cut);
        coverage.unlisted = self.ledger.unlisted();
        let mut refused: BTreeSet<String> = coverage.refused_calls.into_iter().collect();
        refused.extend(self.refused.iter().map(|name| (*name).to_owned()));
        coverage.refused_calls = refused.into_iter().collect();
        let mut blind = |sentence: String| {
            if !coverage.blind.contains(&sentence) {
                coverage.blind.push(sentence);
            }
        };
        if self.gateway.any {
            blind(
                "client data that the subject encrypted itself, or packed in a format of its own, is not recognised"
                    .into(),
            );
        } else {
            let tls = if self.in_clear { "in TLS other than of a probed library" } else { "in TLS" };
            blind(format!(
                "client data {tls}, that the subject encrypted itself, or packed in a format of its own, is not recognised"
            ));
            blind("names split into DNS labels are not joined again".into());
        }
        if self.gateway.unread > 0 {
            let (unread, all) = (self.gateway.unread, self.gateway.connections);
            blind(format!(
                "{unread} of {all} connections did not agree on TLS with the gateway (they do not accept its certificate, speak another version, or went away): what they had to say is not known"
            ));
        }
        blind("writes through shared memory maps are seen by the layer only, once the subject has ended".into());
        if !self.gateway.any {
            blind("planted credentials are not accepted anywhere yet, so their use cannot be seen".into());
        }
        if coverage.witness == "notify" {
            blind(
                "results of calls that were let through are not seen: such a finding says outcome_basis not-observed"
                    .into(),
            );
            blind(
                "data that passes through a pair of sockets, a pseudo-terminal or memory shared by descent is not \
                 followed from one process to the other"
                    .into(),
            );
        }
        if self.sides.listed {
            blind(
                "reads and writes that were handed over by io_submit are seen by the gateway and the layer only".into(),
            );
        }
        if self.sides.moved {
            blind(
                "the subject mounted something or took another root: what is left on disk is not held against its calls"
                    .into(),
            );
        }
        if self.sides.unnamed && self.gateway.any {
            blind(
                "whom some sockets speak to is not known: what arrived at the gateway is not held against calls".into(),
            );
        }
        if self.sides.crowded {
            blind("so many files or peers were used that what arrived is not held against the calls".into());
        }
        if coverage.truncated {
            blind("the recording ends before the session did".into());
        }
        if self.payloads_cut > 0 {
            blind(format!("of {} writes and reads only the first part was captured", self.payloads_cut));
        }
        if self.matcher.too_short() > 0 {
            let count = self.matcher.too_short();
            blind(format!("{count} planted values are shorter than {} bytes and not searched", matcher::MIN_MARKER));
        }
        if self.matcher.forgotten() > 0 {
            blind("so many streams were open at once that values split over writes may have been missed".into());
        }
        let cuts = self.matcher.cuts();
        for (count, what) in [
            (cuts.bytes, "streams gave more bytes than are unpacked: the rest was searched as it came only"),
            (cuts.depth, "times something was packed in more layers than are undone"),
            (cuts.memory, "packed streams were not followed to their end: too many were open at once"),
            (cuts.gaps, "packed streams could not be followed: parts of them were not captured"),
            (self.salts.untried, "payloads held what may be digests that were not tried with all salts"),
        ] {
            if count > 0 {
                blind(format!("{count} {what}"));
            }
        }
        if self.lineage.unfollowed() > 0 {
            blind("so many processes or files were used that not all lineage was followed".into());
        }
        if self.assets.len() > AssetSet::CAPACITY {
            blind(format!("assets past the first {} are not looked for", AssetSet::CAPACITY));
        }
        coverage
    }
}
