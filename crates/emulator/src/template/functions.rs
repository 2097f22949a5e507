//! Functions, and what happens to their asynchronous events.

use std::time::Duration;

use super::assets::Assets;
use super::kinds;
use super::properties::Properties;
use super::{Problem, Reading};
use crate::events::Receiver;
use crate::lambda::Function;

/// Properties of a function that are read here, or that change nothing on this machine.
const KNOWN: [&str; 19] = [
    "Architectures",
    "Code",
    "Description",
    "Environment",
    "EphemeralStorage",
    "FunctionName",
    "Handler",
    "KmsKeyArn",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "RecursiveLoop",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
    "RuntimeManagementConfig",
    "Tags",
    "Timeout",
    "TracingConfig",
];

/// Properties that would change something, and why they do not.
const LEFT_OUT: [(&str, &str); 5] = [
    ("DeadLetterConfig", "dead letters go where EventInvokeConfig says; this queue gets none"),
    ("FileSystemConfigs", "no file system is mounted"),
    ("Layers", "layers are not laid under it, /opt is this machine's"),
    ("SnapStart", "it always starts cold"),
    ("VpcConfig", "it runs in this machine's network"),
];

impl<'a> Reading<'a> {
    pub(super) fn read_functions(&mut self, assets: &Assets) {
        self.each(kinds::FUNCTION, |reading, properties| {
            let runtime = properties.text("Runtime")?.unwrap_or_default();
            if !runtime.starts_with("provided") && reading.serves_custom_resources(properties.id()) {
                let why = "it serves custom resources, which do not run here";
                reading.warn(kinds::FUNCTION, properties.id(), why);
                return Ok(());
            }
            let function = reading.function(&properties, &runtime, assets)?;
            reading.template.functions.push(function);
            Ok(())
        });
    }

    /// Whether a custom resource names the function as the one that makes it.
    fn serves_custom_resources(&self, id: &str) -> bool {
        let arn = serde_json::json!({ "Fn::GetAtt": [id, "Arn"] });
        let mut resources = self.resolver.document.resources.values();
        resources.any(|resource| resource.properties.get("ServiceToken") == Some(&arn))
    }

    fn function(
        &mut self,
        properties: &Properties<'a>,
        runtime: &str,
        assets: &Assets,
    ) -> Result<Function, Problem> {
        let code = properties.object("Code")?.ok_or_else(|| properties.problem("Code", "it is missing"))?;
        if code.has("ImageUri") || properties.text("PackageType")?.as_deref() == Some("Image") {
            let problem = "it is a container image; the emulator runs zip code with a provided.* runtime";
            return Err(code.problem("ImageUri", problem));
        }
        if !runtime.starts_with("provided") {
            let problem = format!("it is `{runtime}`; the emulator runs programs of their own, provided.*");
            return Err(properties.problem("Runtime", problem));
        }
        if code.has("ZipFile") {
            return Err(code.problem("ZipFile", "code within the template has no program to start"));
        }
        let key = code.required_text("S3Key")?;
        let folder = assets.code_folder(&key).map_err(|problem| code.problem("S3Key", problem))?;
        self.warn_of_function(properties)?;
        let program = folder.join("bootstrap").into_os_string();
        let mut function = Function::new(self.name(properties)?, vec![program]);
        function.directory = Some(folder);
        if let Some(memory_mb) = properties.number("MemorySize")? {
            function.memory_mb = memory_mb;
        }
        if let Some(seconds) = properties.number("Timeout")? {
            function.timeout = Duration::from_secs(seconds.into());
        }
        function.reserved_concurrency = properties.number("ReservedConcurrentExecutions")?;
        function.environment = environment(properties)?;
        if let Some(logging) = properties.object("LoggingConfig")? {
            function.log_group = logging.text("LogGroup")?;
            function.log_level = logging.text("ApplicationLogLevel")?;
            function.logs_json = logging.text("LogFormat")?.as_deref() == Some("JSON");
        }
        Ok(function)
    }

    fn warn_of_function(&mut self, properties: &Properties<'a>) -> Result<(), Problem> {
        let id = properties.id();
        for name in properties.names().filter(|name| !KNOWN.contains(name)) {
            let why = LEFT_OUT.iter().find(|(left_out, _)| left_out == &name).map(|(_, why)| *why);
            let why = why.unwrap_or("the emulator does not know this property");
            self.warn(kinds::FUNCTION, id, format!("{name}: {why}"));
        }
        let machine = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            other => other,
        };
        let built_for = properties.texts("Architectures")?;
        let built_for = built_for.first().map_or("x86_64", String::as_str);
        if built_for != machine {
            let why = format!(
                "it is built for {built_for} and this machine is {machine}: it will not start; synthesize it for {machine}"
            );
            self.warn(kinds::FUNCTION, id, why);
        }
        Ok(())
    }

    pub(super) fn read_event_invoke_configs(&mut self) {
        self.each(kinds::EVENT_INVOKE_CONFIG, |reading, properties| {
            let named = properties.required_text("FunctionName")?;
            let qualifier = properties.text("Qualifier")?.unwrap_or_default();
            if qualifier != "$LATEST" {
                let why = format!("it is of the version or alias {qualifier}; only $LATEST is there");
                reading.warn(kinds::EVENT_INVOKE_CONFIG, properties.id(), why);
                return Ok(());
            }
            let name = match reading.receiver(&named) {
                Some(Receiver::Function(name)) => name,
                _ => named,
            };
            let on_failure = reading.on_failure(&properties)?;
            let retries = properties.number("MaximumRetryAttempts")?;
            let age = properties.number("MaximumEventAgeInSeconds")?;
            let Some(function) = reading.template.functions.iter_mut().find(|it| it.name == name) else {
                let why = format!("`{name}` is no function of this stack that runs here");
                reading.warn(kinds::EVENT_INVOKE_CONFIG, properties.id(), why);
                return Ok(());
            };
            if let Some(retries) = retries {
                function.maximum_retry_attempts = retries;
            }
            if let Some(age) = age {
                function.maximum_event_age = Duration::from_secs(age.into());
            }
            function.on_failure = on_failure;
            Ok(())
        });
    }

    /// The ARN of who is told of events that were given up.
    fn on_failure(&mut self, properties: &Properties<'a>) -> Result<Option<String>, Problem> {
        let Some(destinations) = properties.object("DestinationConfig")? else { return Ok(None) };
        if destinations.has("OnSuccess") {
            let why = "DestinationConfig.OnSuccess: nobody is told of events that were done";
            self.warn(kinds::EVENT_INVOKE_CONFIG, properties.id(), why);
        }
        let Some(on_failure) = destinations.object("OnFailure")? else { return Ok(None) };
        let arn = on_failure.required_text("Destination")?;
        if self.receiver(&arn).is_none() {
            let why = format!("OnFailure: {arn} is no function or queue of this stack; nobody is told");
            self.warn(kinds::EVENT_INVOKE_CONFIG, properties.id(), why);
            return Ok(None);
        }
        Ok(Some(arn))
    }
}

fn environment(properties: &Properties<'_>) -> Result<Vec<(String, String)>, Problem> {
    let Some(variables) =
        properties.object("Environment")?.map(|it| it.object("Variables")).transpose()?.flatten()
    else {
        return Ok(Vec::new());
    };
    let mut environment = Vec::new();
    for name in variables.names() {
        if let Some(value) = variables.text(name)? {
            environment.push((name.to_owned(), value));
        }
    }
    Ok(environment)
}
