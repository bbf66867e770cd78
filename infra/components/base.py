"""What every component is."""

from collections.abc import Sequence

import pulumi


class Component(pulumi.ComponentResource):
    """A named group of resources, declared by its constructor as a list of steps.

    Whatever is put under it carries its name as a prefix, so that two components of one type never collide; a child
    that does not is refused with a `ValueError`.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        named = pulumi.ResourceOptions(transformations=[self._refuse_strangers])
        super().__init__(
            f"cloudserve:components:{type(self).__name__}", name, {}, pulumi.ResourceOptions.merge(opts, named)
        )
        self.name = name

    def under(self, *, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """Returns the options of a child, which waits for the resources in `after`."""
        return pulumi.ResourceOptions(parent=self, depends_on=list(after))

    def _refuse_strangers(self, args: pulumi.ResourceTransformationArgs) -> None:
        if args.resource is not self and not args.name.startswith(f"{self.name}-"):
            raise ValueError(f"{args.name} is under the component {self.name}: name it {self.name}-{args.name}")
