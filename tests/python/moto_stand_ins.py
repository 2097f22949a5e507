"""Stand-ins for the types of resources that moto's CloudFormation does not know.

Moto leaves such resources out without a word, and then fails at the first reference to one. A stand-in does nothing but keep
its properties, with all references resolved: so the template is deployed as it is, and the tests see what the resource would
have been given. What a stand-in does **not** prove is that AWS takes those properties; the assertions of `infra/test` and
cfn-lint hold their form.
"""

from moto.core.common_models import CloudFormationModel

# Each type that the template uses and moto 5.2.5 does not know, with the property that names the resource.
TYPES = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::EventSchemas::Schema": "SchemaName",
    "AWS::Lambda::EventInvokeConfig": "",
    "AWS::S3::BucketPolicy": "",
    "AWS::SQS::QueuePolicy": "",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::Scheduler::ScheduleGroup": "Name",
}

# The resources that are deployed: (stack, logical id) -> (type, properties).
deployed = {}


def stand_in(resource_type, name_property):
    """Makes a stand-in for a type. Moto finds it as a direct subclass of its own class."""

    class StandIn(CloudFormationModel):
        # Moto takes the service's name from the module's.
        __module__ = "moto.stand_ins"

        def __init__(self, name):
            self.name = name

        @property
        def physical_resource_id(self):
            return self.name

        @staticmethod
        def cloudformation_type():
            return resource_type

        @staticmethod
        def cloudformation_name_type():
            return name_property

        @classmethod
        def has_cfn_attr(cls, attr):
            return attr == "Arn"

        def get_cfn_attribute(self, attribute_name):
            return f"arn:aws:stand-in:::{resource_type}/{self.name}/{attribute_name}"

        @classmethod
        def create_from_cloudformation_json(cls, name, template, account_id, region, **kwargs):
            stack = kwargs["StackId"].split("/")[1]
            made = cls(name)
            made.place = (stack, kwargs["LogicalId"])
            deployed[made.place] = (resource_type, template["Properties"])
            return made

        def delete(self, account_id, region):
            del deployed[self.place]

    return StandIn


# Kept here, since classes only live as long as somebody has them. Moto looks for them when it makes its first stack.
CLASSES = [stand_in(resource_type, name_property) for resource_type, name_property in TYPES.items()]
