//! Which tensor gets which format: llama.cpp's mixes.

use WeightFormat::{BF16, F16, F32, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
use barre_core::quant::WeightFormat;

/// A format for most tensors and better ones for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mix {
    name: &'static str,
    base: WeightFormat,
    file_type: u32,
}

/// What a mix must know of a model.
pub(super) struct Shape {
    /// Layers.
    pub(super) layers: u64,
    /// Query heads that share a key head.
    pub(super) groups: u64,
    /// Whether the embedding is the output head too.
    pub(super) tied: bool,
}

/// All mixes, with their numbers in `general.file_type`.
const MIXES: [Mix; 18] = [
    mix("F32", F32, 0),
    mix("F16", F16, 1),
    mix("BF16", BF16, 32),
    mix("Q4_0", Q4_0, 2),
    mix("Q4_1", Q4_1, 3),
    mix("Q5_0", Q5_0, 8),
    mix("Q5_1", Q5_1, 9),
    mix("Q8_0", Q8_0, 7),
    mix("Q2_K", Q2_K, 10),
    mix("Q2_K_S", Q2_K, 21),
    mix("Q3_K_S", Q3_K, 11),
    mix("Q3_K_M", Q3_K, 12),
    mix("Q3_K_L", Q3_K, 13),
    mix("Q4_K_S", Q4_K, 14),
    mix("Q4_K_M", Q4_K, 15),
    mix("Q5_K_S", Q5_K, 16),
    mix("Q5_K_M", Q5_K, 17),
    mix("Q6_K", Q6_K, 18),
];

const fn mix(name: &'static str, base: WeightFormat, file_type: u32) -> Mix {
    Mix { name, base, file_type }
}

impl Mix {
    /// The mix of a name, in any case; `Q3_K`, `Q4_K` and `Q5_K` are their `_M`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = match name.to_ascii_uppercase().as_str() {
            short @ ("Q3_K" | "Q4_K" | "Q5_K") => format!("{short}_M"),
            name => name.to_owned(),
        };
        MIXES.into_iter().find(|mix| mix.name == name)
    }

    /// The names of all.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        MIXES.iter().map(|mix| mix.name)
    }

    /// The number for `general.file_type`.
    pub(super) const fn file_type(self) -> u32 {
        self.file_type
    }

    /// The format for the matrix `name`, whatever its width.
    pub(super) fn format_of(self, name: &str, model: &Shape, pure: bool) -> WeightFormat {
        let base = self.base;
        if pure || base.block_len() == 1 {
            return base;
        }
        if name == "output.weight" || model.tied && name == "token_embd.weight" {
            return if base == Q8_0 { Q8_0 } else { Q6_K };
        }
        let Some((layer, role)) = layer_and_role(name) else { return base };
        let n = model.layers;
        match (role, self.name) {
            ("attn_v.weight", "Q2_K") => {
                if model.groups >= 4 {
                    Q4_K
                } else {
                    Q3_K
                }
            }
            ("attn_v.weight", "Q2_K_S") if model.groups >= 4 => Q4_K,
            ("attn_v.weight", "Q3_K_M") => {
                if layer < 2 {
                    Q5_K
                } else {
                    Q4_K
                }
            }
            ("attn_v.weight", "Q3_K_L") => Q5_K,
            ("attn_v.weight", "Q4_K_S") if layer < 4 => Q5_K,
            ("attn_v.weight" | "ffn_down.weight", "Q4_K_M" | "Q5_K_M") if uses_more_bits(layer, n) => Q6_K,
            ("ffn_down.weight", "Q2_K") => Q3_K,
            ("ffn_down.weight", "Q2_K_S") if layer < n / 8 => Q4_K,
            ("ffn_down.weight", "Q3_K_M") => {
                if layer < n / 16 {
                    Q5_K
                } else {
                    Q4_K
                }
            }
            ("ffn_down.weight", "Q3_K_L") => Q5_K,
            ("ffn_down.weight", "Q4_K_S") if layer < n / 8 => Q5_K,
            ("attn_output.weight", "Q2_K") => Q3_K,
            ("attn_output.weight", "Q3_K_M") => Q4_K,
            ("attn_output.weight", "Q3_K_L") => Q5_K,
            _ => base,
        }
    }
}

/// The first and the last eighth of the layers, and every third between.
const fn uses_more_bits(layer: u64, layers: u64) -> bool {
    layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
}

fn layer_and_role(name: &str) -> Option<(u64, &str)> {
    let (layer, role) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, role))
}

/// `format`, or what llama.cpp takes for rows of `k` weights that are no whole number of its blocks. (For 2 and 3
/// bits that is IQ4_NL there, and Q4_0, of the same size, here.)
pub(super) const fn fitting(format: WeightFormat, k: u64) -> WeightFormat {
    if k.is_multiple_of(format.block_len() as u64) {
        return format;
    }
    let other = match format {
        Q2_K | Q3_K => Q4_0,
        Q4_K => Q5_0,
        Q5_K => Q5_1,
        Q6_K => Q8_0,
        _ => F16,
    };
    if k.is_multiple_of(other.block_len() as u64) { other } else { F16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bits_go_where_llama_cpp_puts_them() {
        // llama.cpp's choice for 22 layers: 0, 1, 4, 7, 10, 13, 16, then from 19 on.
        let more: Vec<u64> = (0..22).filter(|&i| uses_more_bits(i, 22)).collect();
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]);
        let shape = Shape { layers: 22, groups: 8, tied: false };
        let q4 = Mix::named("q4_k_m").unwrap();
        assert_eq!(q4.format_of("blk.4.attn_v.weight", &shape, false), Q6_K);
        assert_eq!(q4.format_of("blk.4.attn_v.weight", &shape, true), Q4_K);
        assert_eq!(q4.format_of("blk.5.ffn_down.weight", &shape, false), Q4_K);
        assert_eq!(q4.format_of("token_embd.weight", &shape, false), Q4_K);
        assert_eq!(q4.format_of("output.weight", &shape, false), Q6_K);
        let tied = Shape { tied: true, ..shape };
        assert_eq!(q4.format_of("token_embd.weight", &tied, false), Q6_K);
    }

    #[test]
    fn widths_that_do_not_fit_fall_back() {
        for (format, k, want) in [
            (Q4_K, 256, Q4_K),
            (Q4_K, 288, Q5_0),
            (Q5_K, 288, Q5_1),
            (Q6_K, 288, Q8_0),
            (Q3_K, 288, Q4_0),
            (Q4_K, 100, F16),
            (Q8_0, 100, F16),
            (F32, 7, F32),
        ] {
            assert_eq!(fitting(format, k), want, "{format} of {k}");
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Mix::named("q5_k"), Mix::named("Q5_K_M"));
        assert_eq!(Mix::named("q9_z"), None);
        for name in Mix::names() {
            assert_eq!(Mix::named(name).map(|m| m.name), Some(name));
        }
    }
}
