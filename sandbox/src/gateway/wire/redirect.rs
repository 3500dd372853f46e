//! The nftables rules that hand every TCP segment and every datagram to the gateway's sockets, as one batch of
//! netlink requests: table `belljar`, one chain before routing, one rule a protocol.

use netlink_bindings::nftables::{Chained, CmpOps, MetaKeys, Nfgenmsg, Registers};

use super::PORT;
use crate::jail::network::{Request, Side};

/// Both IPv4 and IPv6 (`NFPROTO_INET`, linux/netfilter.h).
const INET: u8 = 1;
/// Before routing (`NF_INET_PRE_ROUTING`), where redirection must happen, and its usual priority (`mangle`).
const PREROUTING: u32 = 0;
const MANGLE: i32 = -150;
/// Length of a netlink header, where its flags stand, and the wish to be told of success (linux/netlink.h).
const HEADER: usize = 16;
const FLAGS: std::ops::Range<usize> = 6..8;
const ACK: u16 = 4;

/// The batch. Only its last rule asks for an acknowledgement: one answer comes, the first error or success.
pub(crate) fn redirect() -> Request {
    let header = |family: u8, subsystem: u16| {
        let mut header = Nfgenmsg::new();
        header.nfgen_family = family;
        header.set_res_id(subsystem);
        header
    };
    let mut batch = Chained::new(1);
    // The subsystem that the batch is for: NFNL_SUBSYS_NFTABLES.
    batch.request().op_batch_begin_do(&header(0, 10)).encode();
    batch.request().set_create().op_newtable_do(&header(INET, 0)).encode().push_name(c"belljar");
    batch
        .request()
        .set_create()
        .op_newchain_do(&header(INET, 0))
        .encode()
        .push_table(c"belljar")
        .push_name(c"redirect")
        .nested_hook()
        .push_num(PREROUTING)
        .push_priority(MANGLE)
        .end_nested()
        .push_type(c"filter");
    for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
        batch
            .request()
            .set_create()
            .set_append()
            .op_newrule_do(&header(INET, 0))
            .encode()
            .push_table(c"belljar")
            .push_chain(c"redirect")
            .nested_expressions()
            .nested_elem()
            .nested_data_meta()
            .push_key(MetaKeys::L4Proto as u32)
            .push_dreg(Registers::Reg1 as u32)
            .end_nested()
            .end_nested()
            .nested_elem()
            .nested_data_cmp()
            .push_sreg(Registers::Reg1 as u32)
            .push_op(CmpOps::Eq as u32)
            .nested_data()
            .push_value(&[protocol as u8])
            .end_nested()
            .end_nested()
            .end_nested()
            .nested_elem()
            .nested_data_immediate()
            .push_dreg(Registers::Reg1 as u32)
            .nested_data()
            .push_value(&PORT.to_be_bytes())
            .end_nested()
            .end_nested()
            .end_nested()
            .nested_elem()
            .nested_data_tproxy()
            .push_family(0) // whichever the packet is of
            .push_reg_port(Registers::Reg1 as u32)
            .end_nested()
            .end_nested()
            .end_nested();
    }
    batch.request().op_batch_end_do(&header(0, 10)).encode();
    let mut bytes = batch.finalize().buf().clone();
    acknowledge_last_but_one(&mut bytes);
    Request { protocol: libc::NETLINK_NETFILTER, ..Request::new(Side::Gateway, bytes) }
}

fn acknowledge_last_but_one(batch: &mut [u8]) {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(length) = batch.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        starts.push(at);
        at += (u32::from_ne_bytes(*length) as usize).max(HEADER).next_multiple_of(4);
    }
    let acknowledged = starts.len().checked_sub(2);
    for (index, start) in starts.into_iter().enumerate() {
        let Some(flags) = batch.get_mut(start + FLAGS.start..start + FLAGS.end) else { return };
        let wanted =
            u16::from_ne_bytes([flags[0], flags[1]]) & !ACK | if Some(index) == acknowledged { ACK } else { 0 };
        flags.copy_from_slice(&wanted.to_ne_bytes());
    }
}
