//! Both networks, built once on a throw-away graph: their shapes, and whether the rest of the recipe goes with them.

use super::super::{Recipe, RecipeError};
use crate::networks::{ClassUse, Net, Side};
use crate::step::Applied;

/// Parameters of one network: 4 GiB of weights, four times that with moments and average.
const MAX_PARAMETERS: usize = 1 << 30;

impl Recipe {
    /// Builds and checks both networks: generator and discriminator.
    pub fn networks(&self) -> Result<(Net, Net), RecipeError> {
        let generator =
            Net::from_spec(&self.generator, self.data.classes).map_err(|m| self.error("generator", m))?;
        let discriminator = Net::from_spec(&self.discriminator, self.data.classes)
            .map_err(|m| self.error("discriminator", m))?;
        let made = generator
            .output_shape(self.part(), &[self.latent.dim], &self.data.shape, Side::Generator)
            .map_err(|m| self.error("generator", m))?;
        if made != self.data.shape {
            return Err(self.error(
                "generator",
                format!("makes samples of shape {made:?}, the data has {:?}", self.data.shape),
            ));
        }
        let judged_shape = self.judged_shape();
        let judged = discriminator
            .output_shape(self.judged_batch(), &judged_shape, &self.data.shape, Side::Discriminator)
            .map_err(|m| self.error("discriminator", m))?;
        if judged.iter().product::<usize>() != 1 {
            return Err(self.error(
                "discriminator",
                format!("ends with shape {judged:?} a sample: it must end with one logit (e.g. `dense 1`)"),
            ));
        }
        for (key, net, input, side) in [
            ("generator", &generator, std::slice::from_ref(&self.latent.dim), Side::Generator),
            ("discriminator", &discriminator, judged_shape.as_slice(), Side::Discriminator),
        ] {
            let (params, _) = net.describe(input, &self.data.shape, side);
            let count = params.iter().fold(0usize, |sum, p| sum.saturating_add(p.ty.len()));
            if count > MAX_PARAMETERS {
                let message =
                    format!("has {count} parameters, {MAX_PARAMETERS} is the most: make its layers smaller");
                return Err(self.error(key, message));
            }
        }
        self.check_class_use(
            generator.class_use(&[self.latent.dim], &self.data.shape, Side::Generator),
            discriminator.class_use(&judged_shape, &self.data.shape, Side::Discriminator),
        )?;
        self.check_regularizers_fit(&generator, &discriminator)?;
        self.frozen(&discriminator)?;
        Ok((generator, discriminator))
    }

    /// Checks that every regularizer finds in its network what its term looks at.
    fn check_regularizers_fit(&self, generator: &Net, discriminator: &Net) -> Result<(), RecipeError> {
        for Applied { regularizer, side, .. } in self.regularizers()? {
            let network = match side {
                Side::Generator => generator,
                Side::Discriminator => discriminator,
            };
            if regularizer.per_sample_gradients() && network.normalizes_batch(side) {
                let message = format!(
                    "`{}` needs each sample's own gradient, but the {} has batch norm, which mixes the samples of a \
                     batch: use layer_norm or none",
                    regularizer.name(),
                    side.name()
                );
                return Err(self.error("regularizers", message));
            }
            if regularizer.compares_reconstructions()
                && !discriminator.reconstructs(&self.judged_shape(), &self.data.shape)
            {
                let message = format!(
                    "`{}` compares real samples with what decoders beside the discriminator draw of its features, and \
                     this one has none: use model `fastgan` with `decoders = 1`, which has them for images whose sides \
                     can be halved twice to 7 pixels or more, or leave the regularizer out",
                    regularizer.name()
                );
                return Err(self.error("regularizers", message));
            }
        }
        Ok(())
    }

    /// Checks that a conditional recipe has networks that use the classes, and that a classifier beside the logit is
    /// trained for both.
    fn check_class_use(&self, generator: ClassUse, discriminator: ClassUse) -> Result<(), RecipeError> {
        let trained: Vec<Side> = self
            .regularizers()?
            .iter()
            .filter(|r| r.regularizer.compares_classes())
            .map(|r| r.side)
            .collect();
        if let Some(side) = trained.first()
            && self.data.classes.is_none()
        {
            let message =
                format!("the {}'s classifier needs classes: set data.classes, e.g. to 10", side.name());
            return Err(self.error("regularizers", message));
        }
        if self.data.classes.is_none() {
            return Ok(());
        }
        if !generator.told {
            let message = "is not told the class it should make, though data.classes is set: begin its layers with \
                           `concat_label`, or use `conditional_batch_norm` in place of `batch_norm`";
            return Err(self.error("generator", message));
        }
        if !discriminator.told && !discriminator.guessed {
            let message = "neither is told the class of a sample nor guesses it, though data.classes is set: use \
                           `concat_label`, or end with `projection` in place of `dense 1`, or put `classify` before \
                           its last layer";
            return Err(self.error("discriminator", message));
        }
        let sides = [Side::Discriminator, Side::Generator];
        let missing = sides.into_iter().find(|side| !trained.contains(side));
        match (discriminator.guessed, missing) {
            (true, Some(side)) => {
                let message = format!(
                    "the discriminator's classifier (`classify`) is not part of the {}'s loss: add {{ name = \
                     \"auxiliary-classifier\", network = \"{}\" }}",
                    side.name(),
                    side.name()
                );
                Err(self.error("regularizers", message))
            }
            (false, _) if !trained.is_empty() => {
                let message = "`auxiliary-classifier` needs a discriminator that guesses the class: put `classify` \
                               before its last layer, or set discriminator.classify=true where it is a model";
                Err(self.error("regularizers", message))
            }
            (true, None) | (false, _) => Ok(()),
        }
    }
}
