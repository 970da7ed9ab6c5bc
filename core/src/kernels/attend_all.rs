//! Attention of all heads, divided among the threads.

use super::out::SharedOut;
use super::parallel::for_each_chunk;
use super::{AttendJob, Compute, KvHead, OutCols};

/// Attention of every KV head and the query heads that share it, for every token of `job`.
///
/// `q` is `[tokens][head_count · key_length]`, `out` `[tokens][head_count · value_length]`; `head(h)` is KV head
/// `h`'s cache. A task is one KV head and up to `block` tokens, which share each key and value that it loads.
#[expect(clippy::too_many_arguments, reason = "a batch of queries, a cache, a result and room to work")]
pub(crate) fn attend_all<'c>(
    compute: Compute<'_>,
    head: &(dyn Fn(usize) -> KvHead<'c> + Sync),
    q: &[f32],
    job: &AttendJob,
    kv_heads: usize,
    block: usize,
    out: OutCols<'_>,
    scratch: &mut [u8],
    slot_bytes: usize,
) {
    let (kv_heads, block) = (kv_heads.max(1), block.max(1));
    let q_stride = q.len() / job.tokens.max(1);
    let (query_cols, value_cols) = (q_stride / kv_heads, out.cols() / kv_heads);
    let out = SharedOut::new(out);
    let blocks = job.tokens.div_ceil(block);
    // Later blocks attend to more positions: they come first, so that no thread starts the longest one last.
    for_each_chunk(compute.executor, blocks * kv_heads, scratch, slot_bytes, &|task, scratch| {
        let kv_heads = kv_heads.max(1);
        let (b, h) = (blocks - 1 - task / kv_heads, task % kv_heads);
        let from = b * block;
        let tokens = block.min(job.tokens - from);
        #[allow(unsafe_code, reason = "each task owns its heads' columns of its tokens' rows")]
        // SAFETY: a task is a pair of token block and head, each pair comes once, and pairs do not overlap.
        let mut out = unsafe { out.share_block(from, tokens, h * value_cols, value_cols) };
        let job = AttendJob { first_pos: job.first_pos + from, tokens, ..*job };
        let q = q.get(from * q_stride + h * query_cols..).unwrap_or(&[]);
        compute.kernels.attend(&head(h), q, q_stride, &job, &mut out, scratch);
    });
}
