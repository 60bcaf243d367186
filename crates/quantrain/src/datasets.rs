//! The data of a recipe: opened once, classes numbered, samples drawn and looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quantrain_data::{BatchPlan, DataError, Dataset, Feeds, Loader, Order, Preprocess, Survey, number_by_name, number_by_value};
use quantrain_graph::{Graph, TensorId};

use crate::checkpoint::DataFingerprint;
use crate::held_out::Part;
use crate::images::{WithoutClasses, fixed_batch, image_order, scored_classes};
use crate::recipe::{InputFiles, Recipe};
use crate::{RunError, feeds, image_size};

/// Images of an evaluation or calibration batch where the network's file does not fix it; results do not depend on it.
const EVALUATION_BATCH: usize = 64;

/// Of larger images there are fewer in a batch: several batches are in memory at once.
const BATCH_BYTES: usize = 5 << 20;

/// As [`BATCH_BYTES`], where a batch has statistics of its own.
const STATISTICS_BYTES: usize = 128 << 20;

/// Samples left out that are named one by one.
const NAMED: usize = 20;

/// What images are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Training,
    /// As many training images as a calibration takes, as training sees them: statistics of other images would not stay when it follows the
    /// batches, and with them the network's function would go.
    Statistics,
    Calibration,
    Evaluation,
    /// Images of the calibration that it leaves out, where there are none for an evaluation.
    HeldOut,
}

/// All data of a recipe, for one network.
pub(crate) struct Datasets {
    recipe: Recipe,
    graph: Graph,
    /// Height, width and channels of the only input, and their order in memory, where it takes images.
    image: Option<([usize; 3], Order)>,
    /// The only batch size that the network takes, where its file says so.
    fixed_batch: Option<usize>,
    /// Classes that the network tells apart, where its first output is a row of scores; `Some(None)` where their number is open.
    scored: Option<Option<usize>>,
    opened: Mutex<BTreeMap<PathBuf, Arc<dyn Dataset>>>,
    feeds: Mutex<BTreeMap<(PathBuf, InputFiles), Feeds>>,
    loaders: Mutex<BTreeMap<Purpose, Loader>>,
    notes: Mutex<Vec<String>>,
}

impl Datasets {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// The recipe is about inputs or outputs that the network does not have, or an input has no axis of samples.
    pub fn new(recipe: &Recipe, graph: &Graph) -> Result<Self, RunError> {
        let image = image_size(graph).ok().zip(image_order(graph).ok());
        feeds::inputs(graph, recipe.data(), InputFiles::Training)?;
        feeds::labels(graph, recipe.data(), InputFiles::Training)?;
        Ok(Datasets {
            graph: graph.clone(),
            fixed_batch: fixed_batch(graph),
            image,
            feeds: Mutex::default(),
            scored: scored_classes(graph),
            opened: Mutex::default(),
            loaders: Mutex::default(),
            notes: Mutex::default(),
            recipe: recipe.clone(),
        })
    }

    /// The recipe with the names of the classes, where folders have told them.
    ///
    /// # Errors
    /// The names make no list of classes.
    pub fn named_recipe(&self) -> Result<Recipe, RunError> {
        match (self.recipe.data().classes.is_empty(), self.class_names()) {
            (true, Some(names)) => Ok(self.recipe.with_classes(names)?),
            _ => Ok(self.recipe.clone()),
        }
    }

    /// What the user should know of the data used so far.
    pub fn notes(&self) -> Vec<String> {
        lock(&self.notes).clone()
    }

    /// The images for a purpose; `None` where an evaluation has none.
    ///
    /// # Errors
    /// There are none, they cannot be read, or their classes are not the network's.
    pub fn loader(&self, purpose: Purpose) -> Result<Option<Loader>, RunError> {
        let Some(path) = self.path(purpose)? else { return Ok(None) };
        if let Some(loader) = lock(&self.loaders).get(&purpose) {
            return Ok(Some(loader.clone()));
        }
        let part = self.part(purpose, path);
        let loader = match self.prepared(purpose, path, part) {
            // Where little is left to train on, all are: the network is then judged on images that it has seen.
            Err(RunError::Data(DataError::NoBatches { .. })) if purpose == Purpose::Training && part != Part::All => {
                self.prepared(purpose, path, Part::All)?
            }
            prepared => prepared?,
        };
        lock(&self.loaders).insert(purpose, loader.clone());
        Ok(Some(loader))
    }

    /// The images that networks are judged on: those of the evaluation, or else some held out of the calibration's; none where there are
    /// neither.
    ///
    /// # Errors
    /// As [`Datasets::loader`].
    pub fn judging(&self) -> Result<Option<Loader>, RunError> {
        match self.loader(Purpose::Evaluation)? {
            None if self.path(Purpose::Calibration).is_ok() => self.loader(Purpose::HeldOut),
            eval => Ok(eval),
        }
    }

    fn prepared(&self, purpose: Purpose, path: &Path, part: Part) -> Result<Loader, RunError> {
        let data = self.recipe.data();
        let Some((image, order)) = self.image_from(path)? else { return self.prepared_feeds(purpose, path, part) };
        let dataset = part.of(self.numbered(purpose, path)?, data.calibration_images, self.fixed_batch.unwrap_or(1));
        let preprocess = Preprocess { order, ..data.preprocess(image[2]) };
        let augments = matches!(purpose, Purpose::Training | Purpose::Statistics);
        let plan = self.plan(purpose);
        let epochs = match (purpose, plan.limit) {
            (Purpose::Training, None) => None,
            (Purpose::Training, Some(_)) => Some(0..u64::from(self.recipe.train().epochs)),
            _ => Some(0..1),
        };
        let (length, limit) = (dataset.len(), plan.limit);
        let loader = Loader::new(dataset, &preprocess, augments.then(|| self.recipe.augmentation()), plan)?.of_size(image);
        let (loader, survey) = loader.surveyed(data.on_bad_sample, epochs, data.loader_threads)?;
        let used = limit.unwrap_or(usize::MAX).min(length - survey.skipped.len());
        let dropped = (purpose == Purpose::Training).then(|| used - loader.samples());
        self.report(path, &survey);
        self.note(dropped.filter(|dropped| *dropped > 0).map(|dropped| {
            let which = if self.recipe.train().shuffle { ", others in each," } else { "" };
            format!("{}: {dropped} images of each epoch{which} do not fill a batch and are left out (`train.last-batch`)", path.display())
        }));
        Ok(loader)
    }

    /// The image that the network takes, where a path has such: not for a file of arrays, one of which has the input's name where none has the
    /// usual one of images.
    fn image_from(&self, path: &Path) -> Result<Option<([usize; 3], Order)>, RunError> {
        let (Some(image), [input]) = (self.image, self.graph.inputs()) else { return Ok(None) };
        let named = &self.graph.tensor(*input).name;
        if !self.recipe.data().inputs.is_empty() {
            return Ok(None);
        }
        let is_numpy = |ending: &str| path.to_str().is_some_and(|text| text.split('#').next().is_some_and(|file| file.ends_with(ending)));
        if is_numpy(".npy") {
            return Ok(None);
        }
        let arrays = if is_numpy(".npz") { quantrain_data::array_names(path, &self.recipe.data().read)? } else { Vec::new() };
        Ok(Some(image).filter(|_| !arrays.contains(named) || arrays.iter().any(|name| name == "images")))
    }

    /// As for images, of arrays and of several inputs.
    fn prepared_feeds(&self, purpose: Purpose, path: &Path, part: Part) -> Result<Loader, RunError> {
        if let Some(key) = self.recipe.augments() {
            return Err(RunError::NothingToAugment { key });
        }
        let feeds = part.of_feeds(self.feeds(purpose, path)?, self.recipe.data().calibration_images, self.fixed_batch.unwrap_or(1));
        // What no label teaches is judged by its distance from the teacher, on samples held out.
        let unlabelled = purpose == Purpose::HeldOut && !self.recipe.train().losses.learns_labels();
        let feeds = if unlabelled { feeds.without_labels() } else { feeds };
        // Both watch ranges.
        let watches = matches!(purpose, Purpose::Training | Purpose::Statistics | Purpose::Calibration);
        let feeds = if watches { feeds.filling_padding() } else { feeds };
        self.note([format!("{}: {}", path.display(), feeds.describe())]);
        Ok(Loader::of_feeds(feeds, self.plan(purpose))?)
    }

    /// The feeds of a path, opened once.
    fn feeds(&self, purpose: Purpose, path: &Path) -> Result<Feeds, RunError> {
        let files = match purpose {
            Purpose::Training | Purpose::Statistics => InputFiles::Training,
            Purpose::Evaluation => InputFiles::Evaluation,
            Purpose::Calibration | Purpose::HeldOut if self.recipe.data().calibration.is_some() => InputFiles::Calibration,
            Purpose::Calibration | Purpose::HeldOut => InputFiles::Training,
        };
        let key = (path.to_owned(), files);
        if let Some(feeds) = lock(&self.feeds).get(&key) {
            return Ok(feeds.clone());
        }
        let data = self.recipe.data();
        let (inputs, labels) = (feeds::inputs(&self.graph, data, files)?, feeds::labels(&self.graph, data, files)?);
        let feeds = Feeds::open(&inputs, &labels, path, &data.read)?;
        lock(&self.feeds).insert(key, feeds.clone());
        Ok(feeds)
    }

    /// Where networks are judged on images of the calibration, which of them a purpose has. Ranges are found on all: they do not learn, and a
    /// share that is missing may be the one that reaches farthest. Training and refinement learn from the others only.
    fn part(&self, purpose: Purpose, path: &Path) -> Part {
        let of_calibration = self.path(Purpose::Calibration).ok().flatten() == Some(path);
        match purpose {
            Purpose::HeldOut => Part::HeldOut,
            Purpose::Training | Purpose::Calibration if !of_calibration || self.recipe.data().eval.is_some() => Part::All,
            Purpose::Training => Part::Rest,
            Purpose::Calibration if !self.recipe.refine().steps.is_empty() => Part::Rest,
            _ => Part::All,
        }
    }

    /// The images for a purpose that must have some.
    ///
    /// # Errors
    /// As [`Datasets::loader`].
    pub fn needed(&self, purpose: Purpose) -> Result<Loader, RunError> {
        self.loader(purpose)?.ok_or(RunError::NoData { what: "evaluation", key: "data.eval" })
    }

    /// At most so many of the calibration's images.
    ///
    /// # Errors
    /// As [`Datasets::loader`].
    pub fn calibration(&self, limit: usize) -> Result<Loader, RunError> {
        Ok(self.needed(Purpose::Calibration)?.limited(limit, self.batch_size(limit))?)
    }

    /// At most so many of the images that networks are judged on, one at a time where the network allows it; of those of the calibration where
    /// there are none.
    ///
    /// # Errors
    /// As [`Datasets::loader`].
    pub fn few(&self, limit: usize) -> Result<Loader, RunError> {
        let loader = self.judging()?.map_or_else(|| self.needed(Purpose::Calibration), Ok)?;
        Ok(loader.limited(limit, self.batch_size(1))?)
    }

    /// Images that are run at once, of so many, without training.
    fn batch_size(&self, images: usize) -> usize {
        self.batch_within(BATCH_BYTES, images)
    }

    fn batch_within(&self, bytes: usize, images: usize) -> usize {
        let values = |&t: &TensorId| self.graph.tensor(t).shape.elements(1);
        let values = self.graph.inputs().iter().map(values).fold(0, usize::saturating_add);
        let of_memory = (bytes / values.saturating_mul(size_of::<f32>()).max(1)).max(1);
        self.fixed_batch.unwrap_or(EVALUATION_BATCH.min(images).min(of_memory))
    }

    fn path(&self, purpose: Purpose) -> Result<Option<&Path>, RunError> {
        let data = self.recipe.data();
        match purpose {
            Purpose::Evaluation => Ok(data.eval.as_deref()),
            Purpose::Training | Purpose::Statistics => training_images(&self.recipe).map(Some),
            Purpose::Calibration | Purpose::HeldOut => {
                let path = data.calibration.as_deref().or(data.train.as_deref());
                path.map(Some).ok_or(RunError::NoData { what: "calibration", key: "data.train" })
            }
        }
    }

    /// What the recipe's data is known by, each path once.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn fingerprints(&self) -> Result<Vec<DataFingerprint>, RunError> {
        let data = self.recipe.data();
        let keys = [("data.train", &data.train), ("data.eval", &data.eval), ("data.calibration", &data.calibration)];
        let mut paths: Vec<(&str, &Path)> = keys.iter().filter_map(|(key, path)| Some((*key, path.as_deref()?))).collect();
        paths.dedup_by_key(|(_, path)| *path);
        let samples = |key, path| match self.image_from(path)? {
            Some(_) => Ok(self.open(path)?.len()),
            None => Ok::<_, RunError>(self.feeds(if key == "data.eval" { Purpose::Evaluation } else { Purpose::Training }, path)?.len()),
        };
        paths.into_iter().map(|(key, path)| Ok(DataFingerprint::new(key, path, samples(key, path)?)?)).collect()
    }

    fn plan(&self, purpose: Purpose) -> BatchPlan {
        let (data, seed) = (self.recipe.data(), self.recipe.seed());
        // A network of a fixed batch takes whole batches only.
        let whole = self.fixed_batch.is_some();
        let drawn =
            |limit| BatchPlan { batch_size: self.batch_size(limit), shuffle: true, seed, limit: Some(limit), ..BatchPlan::default() };
        // One draw for all seeds, so that their results can be compared.
        let judging = |limit| BatchPlan { batch_size: self.batch_size(EVALUATION_BATCH), limit, ..BatchPlan::default() };
        match purpose {
            Purpose::Training => {
                let train = self.recipe.train();
                BatchPlan {
                    batch_size: train.micro_batch,
                    batches_per_step: train.parts(),
                    shuffle: train.shuffle,
                    seed,
                    drop_last: train.drop_last,
                    limit: data.train_images,
                }
            }
            Purpose::Statistics => {
                let limit = data.train_images.map_or(data.calibration_images, |all| all.min(data.calibration_images));
                BatchPlan { batch_size: self.batch_within(STATISTICS_BYTES, limit).min(limit), ..drawn(limit) }
            }
            Purpose::Calibration => BatchPlan { drop_last: whole, ..drawn(data.calibration_images) },
            Purpose::Evaluation => judging(data.eval_images),
            Purpose::HeldOut => BatchPlan { drop_last: whole, ..judging(None) },
        }
    }

    /// The dataset of a path, opened once.
    fn open(&self, path: &Path) -> Result<Arc<dyn Dataset>, RunError> {
        if let Some(dataset) = lock(&self.opened).get(path) {
            return Ok(Arc::clone(dataset));
        }
        let dataset: Arc<dyn Dataset> = Arc::from(quantrain_data::open(path, &self.recipe.data().read)?);
        lock(&self.opened).insert(path.into(), Arc::clone(&dataset));
        Ok(dataset)
    }

    /// The names of all classes, by number: as the recipe lists them, else those of the first class folders, of training or evaluation, that
    /// are as many as the network tells apart.
    fn class_names(&self) -> Option<Vec<String>> {
        let (data, scored) = (self.recipe.data(), self.scored?);
        if !data.classes.is_empty() {
            return Some(data.classes.clone());
        }
        // What cannot be opened tells no names; where it is needed it is an error.
        let folders = [&data.train, &data.eval].into_iter().flatten().filter(|path| may_be_folders(path));
        let mut named = folders.filter_map(|path| self.open(path).ok()).map(|dataset| dataset.class_names().to_vec());
        named.find(|names| !names.is_empty() && scored.is_none_or(|count| count == names.len()))
    }

    /// The dataset of a path with the network's numbers for its classes; without classes where they are of no use, or not needed and not known.
    fn numbered(&self, purpose: Purpose, path: &Path) -> Result<Arc<dyn Dataset>, RunError> {
        let dataset = self.open(path)?;
        self.note(dataset.notes());
        let teaches = self.recipe.train().losses.labels.is_some();
        // What no label teaches is judged by its distance from the teacher, on images held out.
        let unlabelled = purpose == Purpose::HeldOut && !teaches;
        let Some(scored) = self.scored.filter(|_| !unlabelled) else { return Ok(Arc::new(WithoutClasses(dataset))) };
        let reads_labels = purpose == Purpose::Evaluation || purpose == Purpose::Training && teaches;
        match self.number(path, &dataset, scored) {
            Err(_) if !reads_labels => Ok(Arc::new(WithoutClasses(dataset))),
            numbered => numbered,
        }
    }

    /// Numbers named classes for a network that tells so many apart.
    fn number(&self, path: &Path, dataset: &Arc<dyn Dataset>, scored: Option<usize>) -> Result<Arc<dyn Dataset>, RunError> {
        let own = dataset.class_names();
        let Some(first) = own.first() else { return Ok(Arc::clone(dataset)) };
        if let Some(names) = self.class_names() {
            self.note(by_value_otherwise(path, &names));
            return Ok(Arc::from(number_by_name(Box::new(Arc::clone(dataset)), &names)?));
        }
        let (Some(classes), found) = (scored, own.len()) else { return Ok(Arc::clone(dataset)) };
        let unfit = |_| RunError::ClassFolders { data: path.into(), found, first: first.clone(), classes };
        let numbered = number_by_value(Box::new(Arc::clone(dataset)), classes).map_err(unfit)?;
        let path = path.display();
        self.note([format!("{path}: {found} class folders for a network of {classes} classes: their names are taken as their numbers")]);
        Ok(Arc::from(numbered))
    }

    fn report(&self, path: &Path, survey: &Survey) {
        let (path, looked_at) = (path.display(), survey.looked_at);
        if survey.turned > 0 {
            let turned = survey.turned;
            self.note([format!("{path}: {turned} of {looked_at} images are turned upright by their EXIF orientation (`data.exif`)")]);
        }
        if !survey.skipped.is_empty() {
            let skipped = survey.skipped.len();
            self.note([format!("{path}: {skipped} of {looked_at} samples cannot be used and are left out (`data.on-bad-sample`)")]);
            self.note(survey.skipped.iter().take(NAMED).map(|(_, error)| format!("left out: {error}")));
            self.note(skipped.checked_sub(NAMED + 1).map(|more| format!("left out: {} more", more + 1)));
        }
    }

    /// Keeps what is new.
    fn note(&self, texts: impl IntoIterator<Item = String>) {
        let mut notes = lock(&self.notes);
        for text in texts {
            if !notes.contains(&text) {
                notes.push(text);
            }
        }
    }
}

/// The path of the training images.
///
/// # Errors
/// The recipe has none.
pub(crate) fn training_images(recipe: &Recipe) -> Result<&Path, RunError> {
    recipe.data().train.as_deref().ok_or(RunError::NoData { what: "training", key: "data.train" })
}

/// Whether a path, or the first of several, is a folder: only such have names of classes.
fn may_be_folders(path: &Path) -> bool {
    path.is_dir() || path.to_str().is_some_and(|text| text.split([',', '#']).next().is_some_and(|first| Path::new(first.trim()).is_dir()))
}

/// A word where classes are numbers and yet not those of their places.
fn by_value_otherwise(path: &Path, names: &[String]) -> Option<String> {
    let values: Option<Vec<usize>> = names.iter().map(|name| name.parse().ok()).collect();
    let (class, value) = values?.into_iter().enumerate().find(|(class, value)| class != value)?;
    let name = &names[class];
    let path = path.display();
    Some(format!(
        "{path}: classes are numbered in the order of their folders' names, so `{name}` is class {class}; if the network has it as class \
         {value}, list the classes in `data.classes`"
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inserted is whole, whatever panics elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
