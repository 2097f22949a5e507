//! What a stack's outputs say. Pure.
//!
//! The construct `FanfoldPipeline` gives a stack outputs whose names begin with the pipeline's: `<P>Dispatcher` (the
//! function's name; its description begins with "Fanfold dispatcher", since another construct may have an output of
//! such a name), and `<P>Logs` (log groups, with commas between them).

use crate::error::StackError;

/// How the description of a dispatcher's output begins.
const DESCRIPTION: &str = "Fanfold dispatcher";

/// An output of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) description: String,
}

/// One pipeline of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name among the stack's outputs, such as `Fanfold`.
    pub name: String,
    /// The dispatcher function's name.
    pub dispatcher: String,
    /// Where its functions log; none where the stack does not say.
    pub logs: Option<LogGroups>,
}

/// The log groups of a pipeline's functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroups {
    /// Who plans and dispatches.
    pub dispatcher: String,
    /// Who runs processes.
    pub worker: String,
    /// Who puts the output together.
    pub reducer: String,
}

/// The pipelines that these outputs tell of, by name.
pub(crate) fn pipelines(outputs: &[Output]) -> Vec<Pipeline> {
    let value =
        |key: &str| outputs.iter().find(|output| output.key == key).map(|output| output.value.as_str());
    let dispatchers = outputs.iter().filter(|output| output.description.starts_with(DESCRIPTION));
    let mut found: Vec<Pipeline> = dispatchers
        .filter_map(|output| {
            let name = output.key.strip_suffix("Dispatcher")?;
            let logs = value(&format!("{name}Logs")).and_then(LogGroups::read);
            Some(Pipeline { name: name.to_owned(), dispatcher: output.value.clone(), logs })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The pipeline called `wanted` (by its name among the outputs, or by the beginning of its functions' names), or the
/// only one.
///
/// # Errors
/// When none is called so; when there are several and none was asked for.
pub fn choose(stack: &str, pipelines: Vec<Pipeline>, wanted: Option<&str>) -> Result<Pipeline, StackError> {
    let names = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(wanted) = wanted else {
        let mut pipelines = pipelines.into_iter();
        return match (pipelines.next(), pipelines.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(StackError::SeveralPipelines { stack: stack.to_owned(), names }),
        };
    };
    pipelines.into_iter().find(|pipeline| pipeline.is_called(wanted)).ok_or_else(|| {
        StackError::PipelineMissing { stack: stack.to_owned(), wanted: wanted.to_owned(), names }
    })
}

impl Pipeline {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.dispatcher.strip_suffix("-dispatcher") == Some(name)
    }
}

impl LogGroups {
    /// Where Lambda logs for functions of these names or ARNs, unless it is told otherwise.
    pub fn of_functions(dispatcher: &str, worker: &str, reducer: &str) -> Self {
        let group = |function: &str| {
            format!("/aws/lambda/{}", function.rsplit_once(":function:").map_or(function, |(_, name)| name))
        };
        Self { dispatcher: group(dispatcher), worker: group(worker), reducer: group(reducer) }
    }

    fn read(text: &str) -> Option<Self> {
        let mut names = text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let groups = Self { dispatcher: names.next()?, worker: names.next()?, reducer: names.next()? };
        names.next().is_none().then_some(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(key: &str, value: &str, description: &str) -> Output {
        Output { key: key.into(), value: value.into(), description: description.into() }
    }

    fn two() -> Vec<Pipeline> {
        pipelines(&[
            output("OrdersLogs", "/l/orders-dispatcher, /l/orders-worker,/l/orders-reducer", ""),
            output("OrdersDispatcher", "orders-dispatcher", "Fanfold dispatcher of the pipeline orders"),
            output("MailDispatcher", "mail-dispatcher", "sends letters"),
            output("EtlDispatcher", "etl-dispatcher", "Fanfold dispatcher"),
            output("EtlLogs", "/l/etl-dispatcher", ""),
        ])
    }

    #[test]
    fn pipelines_are_known_by_their_outputs_and_nothing_else_is_taken_for_one() {
        let found = two();
        assert_eq!(found.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["Etl", "Orders"]);
        assert_eq!(found[1].logs.as_ref().unwrap().worker, "/l/orders-worker");
        assert_eq!(found[0].logs, None, "three groups, or it is not known which is whose");
    }

    #[test]
    fn a_function_logs_to_the_group_of_its_name() {
        let groups = LogGroups::of_functions("d", "arn:aws:lambda:us-east-1:1:function:w", "r");
        assert_eq!(
            [groups.dispatcher, groups.worker, groups.reducer],
            ["/aws/lambda/d", "/aws/lambda/w", "/aws/lambda/r"]
        );
    }

    #[test]
    fn a_pipeline_is_chosen_by_either_of_its_names() {
        for name in ["Orders", "orders"] {
            assert_eq!(choose("S", two(), Some(name)).unwrap().dispatcher, "orders-dispatcher");
        }
    }

    #[test]
    fn the_only_pipeline_need_not_be_named_and_of_several_one_must_be() {
        let only = two().split_off(1);
        assert_eq!(choose("S", only, None).unwrap().name, "Orders");
        for (wanted, refusal) in [
            (None, "S has several pipelines: name one of Etl, Orders with --pipeline"),
            (Some("Order"), "S has no pipeline 'Order', but Etl, Orders"),
        ] {
            let error = choose("S", two(), wanted).unwrap_err().to_string();
            assert!(error.contains(refusal), "{error}");
        }
    }
}
