//! What the CPU that tests run on has.

use std::is_x86_feature_detected as has;

pub(crate) fn avx2() -> bool {
    has!("avx2") && has!("fma") && has!("f16c")
}

pub(crate) fn avxvnni() -> bool {
    avx2() && has!("avxvnni")
}

pub(crate) fn avx512() -> bool {
    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    avx2() && avx512 && has!("avx512vnni")
}
