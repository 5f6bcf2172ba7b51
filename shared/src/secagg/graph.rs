//! Who holds whose shares, and who masks with whom. [core]

use std::collections::BTreeSet;

use super::Graph;
use super::seed::ByteStream;
use crate::id::MerchantIndex;

/// The holders of one dealer's shares, ascending. The holder in place i has the point x = i + 1.
///
/// In the complete graph these are all members of U1, the dealer included. In the sparse graph the dealer draws k others
/// uniformly, by the first k steps of a Fisher–Yates shuffle.
pub fn holders(
    graph: Graph,
    members: &[MerchantIndex],
    dealer: MerchantIndex,
    stream: &mut ByteStream,
) -> Vec<MerchantIndex> {
    let Graph::Sparse { holders, .. } = graph else { return members.to_vec() };
    let mut others: Vec<MerchantIndex> = members.iter().copied().filter(|member| *member != dealer).collect();
    let drawn = (holders as usize).min(others.len());
    for place in 0..drawn {
        let rest = (others.len() - place) as u16;
        others.swap(place, place + usize::from(stream.below(rest)));
    }
    others.truncate(drawn);
    others.sort_unstable();
    others
}

/// Everybody in U2 that a merchant masks with: along both directions of the graph.
pub fn mask_peers(
    own: MerchantIndex,
    holders: &[MerchantIndex],
    dealers: &[MerchantIndex],
    members: &BTreeSet<MerchantIndex>,
) -> BTreeSet<MerchantIndex> {
    let peers = holders.iter().chain(dealers).copied();
    peers.filter(|peer| *peer != own && members.contains(peer)).collect()
}

#[cfg(test)]
mod tests;
