//! Networks that read a history of item vectors and give one vector per position.

use candle_core::{D, Result, Tensor};
use guildhall_shared::model_spec::ItemEncoder;

use super::{Kernels, Layers, Reader, Squash, composed, fused};

/// Values by which training multiplies, 0 where it hides one; one tensor for every place, in order. Empty for none.
pub(crate) type Hidings = [Tensor];

/// How many places of a network hide values.
pub(crate) fn hiding_places(encoder: &ItemEncoder) -> usize {
    match encoder {
        ItemEncoder::Transformer { blocks, .. } => 1 + 2 * blocks,
        ItemEncoder::Gru | ItemEncoder::TwoTower { .. } => 1,
    }
}

/// # Shapes
/// `x [slots, positions, width]` → the same. Every hiding has the shape of x.
pub(crate) fn encode(
    encoder: &ItemEncoder,
    layers: &Layers,
    x: &Tensor,
    hidings: &Hidings,
) -> Result<Tensor> {
    let mut reader = layers.reader();
    let mut hidings = hidings.iter();
    let x = hide(x.clone(), hidings.next())?;
    match *encoder {
        ItemEncoder::Transformer { blocks, heads, .. } => {
            let mut x = x;
            for _ in 0..blocks {
                let [q, k, v] = attention_inputs(&mut reader, &x)?;
                let mixed = match layers.kernels {
                    Kernels::Fused => q.apply_op3(&k, &v, fused::Attention::new(heads))?,
                    Kernels::Composed => composed::attention(&q, &k, &v, heads)?,
                };
                let mixed = reader.linear(&mixed, Squash::Nothing)?;
                x = (x + hide(mixed, hidings.next())?)?;
                let fed = feed_forward(&mut reader, &x)?;
                x = (x + hide(fed, hidings.next())?)?;
            }
            reader.norm(&x)
        }
        ItemEncoder::Gru => {
            let inputs = reader.linear(&x, Squash::Nothing)?;
            reader.gru(&inputs)
        }
        ItemEncoder::TwoTower { .. } => {
            let hidden = reader.linear(&x, Squash::Relu)?;
            reader.linear(&hidden, Squash::Nothing)
        }
    }
}

fn attention_inputs(reader: &mut Reader<'_>, x: &Tensor) -> Result<[Tensor; 3]> {
    let normal = reader.norm(x)?;
    let mut next = || reader.linear(&normal, Squash::Nothing);
    Ok([next()?, next()?, next()?])
}

fn feed_forward(reader: &mut Reader<'_>, x: &Tensor) -> Result<Tensor> {
    let normal = reader.norm(x)?;
    let hidden = reader.linear(&normal, Squash::Relu)?;
    reader.linear(&hidden, Squash::Nothing)
}

fn hide(x: Tensor, hiding: Option<&Tensor>) -> Result<Tensor> {
    hiding.map_or(Ok(x.clone()), |hiding| x.mul(hiding))
}

/// How much the last position looks at every position, the mean over the heads, block after block: `[blocks][positions]`.
/// Nothing for networks without attention.
///
/// # Shapes
/// `x [1, positions, width]`.
pub(crate) fn attention_of_last(encoder: &ItemEncoder, layers: &Layers, x: &Tensor) -> Result<Vec<Vec<f64>>> {
    let ItemEncoder::Transformer { blocks, heads, .. } = *encoder else { return Ok(vec![]) };
    let mut reader = layers.reader();
    let mut x = x.clone();
    let mut shares = Vec::with_capacity(blocks);
    for _ in 0..blocks {
        let [q, k, v] = attention_inputs(&mut reader, &x)?;
        let own = composed::attention_shares(&q, &k, heads)?.mean(1)?;
        let last = own.narrow(D::Minus2, own.dim(D::Minus2)? - 1, 1)?.flatten_all()?;
        shares.push(last.to_dtype(candle_core::DType::F64)?.to_vec1()?);
        let mixed = reader.linear(&composed::attention(&q, &k, &v, heads)?, Squash::Nothing)?;
        x = (x + mixed)?;
        let fed = feed_forward(&mut reader, &x)?;
        x = (x + fed)?;
    }
    Ok(shares)
}
