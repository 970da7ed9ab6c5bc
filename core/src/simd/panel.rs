//! What the batch multiplication needs of an instruction set: vectors whose lanes are the rows of a panel.

/// Operations on a panel of `R` rows. Weights lie in steps of four: `[step][row][4]`, digits of an activation are
/// broadcast four at a time, every sum has one lane a row.
///
/// No operation rounds or saturates except the float ones, which round once each. Those that accumulate products
/// in 16 bits rely on the caller to fold the part before [`PART_PRODUCTS`](Self::PART_PRODUCTS) times the steps
/// overflows it.
pub(crate) trait PanelIsa<const R: usize>: Copy {
    /// Tokens whose accumulators fit the registers together.
    const TOKENS: usize;
    /// Products of one step that are added into the same 16-bit lane of a [`Part`](Self::Part); 0 if its lanes
    /// are 32 bits wide.
    const PART_PRODUCTS: usize;
    /// Whether [`fold_scaled`](Self::fold_scaled) reads a scale as two equal 16-bit halves of its lane.
    const PAIRED_SCALES: bool;

    /// Whether weights are stored signed, and multiplied by [`dots`](Self::dots): a multiplier that takes any bytes.
    const SIGNED: bool = false;
    /// Whether tokens are multiplied in pairs, so that their number is even.
    const PAIRS: bool = false;
    /// Whether the registers have room for a unit's f32 accumulators beside the integer sums.
    const KEEP_SUMS: bool = false;

    /// How much too large [`wide_dot`](Self::wide_dot) takes each weight.
    const WIDE_OFFSET: i32;

    /// Four weights of each row.
    type Weights: Copy;
    /// Four digits, for every row.
    type Digits: Copy;
    /// Sums of products in the form in which they come out of the multiplier.
    type Part: Copy;
    /// The same for 8-bit signed weights.
    type WidePart: Copy;
    /// One i32 a row.
    type Ints: Copy;
    /// One f32 a row.
    type Floats: Copy;

    /// `panel[c][r] = rows[r][c]` for the first `columns` (a multiple of 8) columns.
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    );

    /// Loads a step of the panel.
    fn weights(self, w: &[[u8; 4]; R]) -> Self::Weights;
    /// Broadcasts four digits.
    fn digits(self, q: [i8; 4]) -> Self::Digits;

    /// No products yet.
    fn part(self) -> Self::Part;
    /// Adds the products of weights in 0..=63 with digits in -128..=127.
    fn dot(self, part: Self::Part, w: Self::Weights, q: Self::Digits) -> Self::Part;
    /// `acc + part · scale`.
    fn fold_scaled(self, acc: Self::Ints, part: Self::Part, scale: Self::Ints) -> Self::Ints;
    /// `acc + part`.
    fn fold(self, acc: Self::Ints, part: Self::Part) -> Self::Ints;

    /// Adds the products of `S` (4 or 8) steps of signed weights and of `T` tokens; [`SIGNED`](Self::SIGNED) only. The sums
    /// are in an order of the instruction set's own until [`settle`](Self::settle) puts each in its place.
    #[inline(always)]
    fn dots<const S: usize, const T: usize>(
        self,
        mut part: [Self::Part; T],
        w: &[[[u8; 4]; R]; S],
        q: [&[[i8; 4]; S]; T],
    ) -> [Self::Part; T] {
        for (s, w) in w.iter().enumerate() {
            let w = self.weights(w);
            for (part, q) in part.iter_mut().zip(q) {
                *part = self.dot(*part, w, self.digits(q[s]));
            }
        }
        part
    }
    /// `acc + part · scale` of sums that are not settled.
    #[inline(always)]
    fn fold_all_scaled<const T: usize>(
        self,
        mut acc: [Self::Ints; T],
        part: [Self::Part; T],
        scale: &[i32; R],
    ) -> [Self::Ints; T] {
        let scale = self.load_i32(scale);
        for (acc, part) in acc.iter_mut().zip(part) {
            *acc = self.fold_scaled(*acc, part, scale);
        }
        acc
    }
    /// One i32 a row of each token.
    #[inline(always)]
    fn settle<const T: usize>(self, acc: [Self::Ints; T]) -> [Self::Ints; T] {
        acc
    }

    /// No products yet.
    fn wide_part(self) -> Self::WidePart;
    /// Adds the products of weights in -128..=127, read as signed bytes, and taken
    /// [`WIDE_OFFSET`](Self::WIDE_OFFSET) too large, with digits in -128..=127; good for up to 64 steps.
    fn wide_dot(self, part: Self::WidePart, w: Self::Weights, q: Self::Digits) -> Self::WidePart;
    /// The sums.
    fn wide_sum(self, part: Self::WidePart) -> Self::Ints;

    /// The same number in every row.
    fn splat_i32(self, x: i32) -> Self::Ints;
    /// `a + b`.
    fn add_i32(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Loads an i32 a row.
    fn load_i32(self, x: &[i32; R]) -> Self::Ints;
    /// `acc + c.low · s.low + c.high · s.high`, the halves being signed 16-bit numbers: `c` has a pair for every
    /// row, `s` is the same for all.
    fn dot_pairs(self, acc: Self::Ints, c: &[i32; R], s: i32) -> Self::Ints;

    /// Converts, to the nearest, ties to even.
    fn to_f32(self, x: Self::Ints) -> Self::Floats;
    /// The same number in every row.
    fn splat_f32(self, x: f32) -> Self::Floats;
    /// Loads an f32 a row.
    fn load_f32(self, x: &[f32; R]) -> Self::Floats;
    /// Stores an f32 a row.
    fn store_f32(self, x: Self::Floats, to: &mut [f32; R]);
    /// `a + b`.
    fn add_f32(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a − b`.
    fn sub_f32(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b`.
    fn mul_f32(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// Sums of 32 digits out of sums of 16, in pairs: pair `j` holds sums `2j` and `2j + 1` of 32.
    fn pair_sums(self, sums: &[i16; 16]) -> [i32; 4];
    /// Asks for the cache line of `at`, wherever it points.
    fn prefetch(self, at: *const u8);
}
