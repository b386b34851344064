"""What a config of each method says beside data and network: the published recipe, cut to a small data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmwsol.new_config.networks import CNNS, HYBRID, NAMED, TAP_VIT, TIMM_CNN, TIMM_VIT, Network


@dataclass(frozen=True)
class Method:
    """A method, as text for a config; names in it are those that the config defines before.

    Attributes:
        name: Its name for ``--method``.
        title: Its name as papers write it.
        bases: Configs of mmwsol that it starts from.
        families: Families of networks that it works with.
        needs: Why not others.
        not_with: Names of networks of these families that it does not work with all the same, and why.
        needs_cls_token: Whether the network must have a class token.
        backbone: Default of ``--backbone``.
        tap_vit: ``type`` of the backbone in the family TapViT.
        options: Further arguments of a transformer's backbone.
        head: Arguments of the head, beside ``num_classes`` and ``in_channels``; a line each.
        rule: The box rule without its threshold.
        threshold: Threshold of the box rule where nothing can be calibrated, as published for ILSVRC's photographs.
        epochs: Epochs, as published for CUB's 6,000 images.
        batch: Batch size, likewise.
        schedule: Optimizer and schedule.
        schedules: Those of networks that have their own: by the start of a name of :data:`NAMED`.
        stages: Stages; '' for none. In it ``$dino`` is DINO's weights, and ``$best`` what has the best epoch of a stage
            kept without boxes on val.
        pipelines: Further pipelines of the stages.
        train_pipeline: Lines of the training pipeline before ``PackLocInputs``, in place of the usual ones.
    """

    name: str
    title: str
    bases: Sequence[str]
    families: Sequence[str]
    needs: str
    not_with: Mapping[str, str] = field(default_factory=dict)
    needs_cls_token: bool = False
    backbone: str = "deit-small"
    tap_vit: str = "mmwsol.TapViT"
    options: str = "drop_path_rate=0.1"
    head: str = ""
    rule: str = "type='mmwsol.ContourBox', preset='tscam'"
    threshold: float = 0.12
    epochs: int = 0
    batch: int = 0
    schedule: str = ""
    schedules: Mapping[str, str] = field(default_factory=dict)
    stages: str = ""
    pipelines: str = ""
    train_pipeline: str = ""

    def refusal(self, network: Network) -> str:
        """Say why the method cannot use a network, and what it can use; '' if it can."""
        if network.family not in self.families:
            return f"{self.needs}; it can use {self.networks()}"
        if network.name in self.not_with:
            return f"{self.not_with[network.name]}; it can use {self.networks()}"
        if self.needs_cls_token and not network.has_cls_token:
            return "it reads the attention of a class token, and this network has none; such as deit-small have one"
        return ""

    def own_schedule(self, network: Network) -> str:
        """Return the schedule that was published for a network itself, '' if it has none of its own."""
        own = [
            text for start, text in self.schedules.items() if network.name in NAMED and network.name.startswith(start)
        ]
        return own[0] if own else ""

    def networks(self) -> str:
        """List what ``--backbone`` can be."""
        names = [n for n, network in NAMED.items() if network.family in self.families and n not in self.not_with]
        if TIMM_VIT in self.families:
            names.append("plain vision transformers of timm such as vit_small_patch14_dinov2.lvd142m")
        if TIMM_CNN in self.families:
            names.append("classifiers of timm with a map of features such as convnext_tiny.fb_in1k")
        return ", ".join(names)


_VIT = "it reads the attention of a vision transformer"
_COSINE = """optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = dict(end=epochs)  # cosine
"""
_STEPS = """optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = dict(milestones=[epochs // 2 - 1, epochs - 1])  # epochs after which it is a tenth
"""
_OCM = """attn_shape=(blocks, heads),
        ocm_blocks=round(0.75 * blocks),
        # Published: the sum over a GPU's batch, loss_weight=128 here. On few images that pulls the attention to zero
        # (configs/benchmarks/README.md, Imagenette), so that this is the mean.
        loss_ocm_s=dict(ratio=0.25, reduce='mean', loss_weight=1.0),"""
_CAM = """optim_wrapper = dict(
    optimizer=dict(lr={lr}, weight_decay={decay}),
    # {why}
    paramwise_cfg=dict(custom_keys={{{layer}'head.fc.': dict(lr_mult=10.)}}))
# epochs after which it is a tenth
param_scheduler = dict(milestones=[epochs * 3 // 10 - 1, epochs * 6 // 10 - 1, epochs * 9 // 10 - 1])
"""


METHODS = {
    method.name: method
    for method in (
        Method(
            "cam",
            "CAM",
            ("cam/_base_/resnet50.py", "cam/_base_/schedule_cub.py"),
            CNNS,
            "it reads the feature map of a CNN",
            backbone="resnet50",
            threshold=0.2,
            epochs=50,
            batch=32,
            schedule=_CAM.format(
                lr="2.3222617e-4",
                decay="1e-4",
                layer="",
                why="Nothing is published for this network: ResNet-50's rate; the new layer learns ten times faster.",
            ),
            schedules={
                "resnet": _CAM.format(
                    lr="2.3222617e-4",
                    decay="1e-4",
                    layer="'backbone.layer4.': dict(lr_mult=10.), ",
                    why="As published for ResNet-50: the last stage learns ten times faster, too.",
                ),
                "vgg16": _CAM.format(
                    lr="1.268269e-5",
                    decay="5e-4",
                    layer="'backbone.conv6.': dict(lr_mult=10.), ",
                    why="As published for VGG16: what is new learns ten times faster.",
                ),
            },
        ),
        Method(
            "ts-cam",
            "TS-CAM",
            ("ts-cam/_base_/deit-s.py", "ts-cam/_base_/schedule_cub.py"),
            (TAP_VIT, TIMM_VIT, HYBRID),
            _VIT,
            epochs=60,
            batch=128,
            schedule=_STEPS,
        ),
        Method(
            "trt",
            "TRT",
            ("trt/_base_/deit-b.py", "trt/_base_/schedule_cub.py"),
            (TAP_VIT, HYBRID),
            "it puts scoring and a second branch into a vision transformer, mmwsol.TRTViT",
            tap_vit="mmwsol.TRTViT",
            options="drop_path_rate=0.1, tpsm=dict(u=0.6)",
            rule="type='mmwsol.ContourBox', preset='trt'",
            epochs=30,
            batch=128,
            schedule=_STEPS,
            stages="""# All but the CAM branch, then the CAM branch alone, on the best checkpoint of the first stage.
stages = [
    dict(
        name='tpsm',$best
        model=dict(head=dict(train_part='tpsm'))),
    dict(
        name='cam',
        init_from='best',
        model=dict(head=dict(train_part='cam')),
        param_scheduler=dict(milestones=[9, 19]),
        train_cfg=dict(max_epochs=20)),
]
""",
        ),
        Method(
            "sat",
            "SAT",
            ("sat/_base_/deit-s.py", "sat/_base_/schedule_cub.py"),
            (TAP_VIT, HYBRID),
            "it puts a spatial token and gates into a vision transformer, mmwsol.SATViT",
            tap_vit="mmwsol.SATViT",
            options="num_sqa_blocks=3, drop_path_rate=0.1",
            head="map_losses=dict(loss_area=dict(target=0.35)),  # share of the image that objects have, about",
            rule="type='mmwsol.ComponentBox', preset='sat'",
            threshold=0.3,
            epochs=30,
            batch=256,
            schedule="optim_wrapper = dict(optimizer=dict(lr=1e-4))  # constant\n",
        ),
        Method(
            "catr",
            "CATR",
            ("catr/_base_/deit-s.py", "catr/_base_/recipe.py"),
            (TAP_VIT, TIMM_VIT, HYBRID),
            _VIT,
            options="drop_path_rate=0.1, tap_in_train=True",
            head=_OCM,
            rule="type='mmwsol.ContourBox', preset='catr'",
            threshold=0.15,
            epochs=80,
            batch=512,
            schedule=_COSINE,
        ),
        Method(
            "cdtr",
            "CDTR without CLIP",
            ("cdtr/_base_/deit-s.py", "catr/_base_/recipe.py"),
            (TAP_VIT, TIMM_VIT, HYBRID),
            _VIT,
            options="drop_path_rate=0.1, tap_in_train=True",
            head=f"""{_OCM}
        # With CLIP, SBA: text features of the classes by tools/make_clip_text_embeddings.py, and
        # map_losses=dict(loss_sba=dict(text_embeddings=FILE, map_norm='none', loss_weight=2.4)),
        map_losses=None,""",
            rule="type='mmwsol.ContourBox', preset='cdtr'",
            threshold=0.19,
            epochs=110,
            batch=512,
            schedule=_COSINE,
        ),
        Method(
            "lctr",
            "LCTR",
            ("lctr/_base_/deit-s.py", "catr/_base_/recipe.py"),
            (TAP_VIT, TIMM_VIT, HYBRID),
            _VIT,
            needs_cls_token=True,
            options="drop_path_rate=0.1, tap='full', tap_in_train=True",
            rule="type='mmwsol.ContourBox', preset='tscam', default_box='frame'",
            threshold=0.18,
            epochs=80,
            batch=512,
            schedule=_COSINE,
        ),
        Method(
            "locloc",
            "LocLoc",
            ("locloc/_base_/deit-s.py", "locloc/_base_/schedule_cub.py"),
            (TAP_VIT,),
            "its classifier starts as a copy of the blocks of mmwsol.TapViT",
            not_with={"deit-tiny": "its masks are made of DINO's attention, and there is no DINO of this size"},
            options="tap='none', out_tokens=(0, -1)",
            head="classifier=dict(num_layers=blocks, num_heads=heads, feedforward_channels=4 * width),",
            rule="type='mmwsol.ContourBox', preset='locloc'",
            threshold=0.4,
            epochs=100,
            batch=256,
            schedule="""optim_wrapper = dict(optimizer=dict(lr=7.5e-5))
param_scheduler = dict(end=epochs)  # cosine
""",
            pipelines="""mask_pipeline = [
    dict(type='mmwsol.LoadImage', imdecode_backend='cv2'),
    dict(type='mmwsol.Resize', scale=(larger, larger), backend='cv2'),
    dict(type='mmwsol.PackLocInputs'),
]
generator_pipeline = [
    dict(type='mmwsol.LoadImage', imdecode_backend='cv2'),
    dict(type='mmwsol.Resize', scale=(larger, larger), backend='cv2'),
    dict(type='mmwsol.RandomCrop', crop_size=size),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.PackLocInputs'),
]
""",
            train_pipeline="""    dict(type='mmwsol.Resize', scale=(larger, larger)),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.RevealRandomBox', alpha=1.0),
    dict(type='mmwsol.RandomCrop', crop_size=size),
    dict(type='mmwsol.RandomFlip', prob=0.5),
""",
            stages="""# Masks of DINO's attention, then the generator of maps that learns them, then the classifier.
stages = [
    dict(
        name='masks',
        model=dict(
            backbone=dict(tap='cls'),
            head=dict(_delete_=True, type='mmwsol.ClsTokenHead', num_classes=len(classes), in_channels=width),
            init_cfg=dict(
                checkpoint='$dino')),
        train_dataloader=dict(dataset=dict(pipeline=mask_pipeline), sampler=dict(shuffle=False)),
        train_cfg=dict(
            _delete_=True,
            type='mmwsol.OfflineLoop',
            writer=dict(type='mmwsol.PseudoMaskWriter', preset='released'))),
    dict(
        name='generator',
        init_from='none',  # weights of the network, not of the stage before
        model=dict(head=dict(train_part='generator')),
        train_dataloader=dict(dataset=dict(pipeline=generator_pipeline)),
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        param_scheduler=[],
        train_cfg=dict(max_epochs=20)),
    dict(name='classifier'),
]
""",
        ),
        Method(
            "dips",
            "DiPS",
            ("dips/_base_/dino-s.py", "dips/_base_/schedule.py"),
            (TAP_VIT,),
            "it reads class tokens and attention of mmwsol.DiPSViT",
            backbone="dino-small",
            tap_vit="mmwsol.DiPSViT",
            options="num_cls_tokens=4, attn_layers=(-1, )",
            head="sampler=dict(num_fg=1000, num_bg=1000, fg_fraction=0.2, bg_fraction=0.2),",
            rule="type='mmwsol.ContourBox', preset='dips'",
            threshold=0.5,
            epochs=50,
            batch=32,
            schedule="optim_wrapper = dict(optimizer=dict(lr=0.01))\n",
            pipelines="""decoder_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(larger, larger)),
    dict(type='mmwsol.RandomCrop', crop_size=size),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadProposals', cache_dir='stage://proposals/cache', top_k=5),
    dict(type='mmwsol.PackLocInputs', algorithm_keys=['proposal_mask', 'proposal_map', 'raw_img']),
]
""",
            stages="""# A linear classifier, proposals of the network's attention, and the decoder that learns them.
stages = [
    dict(
        name='classifier',
        optim_wrapper=dict(optimizer=dict(lr=1.25e-4, nesterov=False)),
        param_scheduler=dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True),
        train_cfg=dict(max_epochs=100, val_interval=10)),
    dict(
        name='proposals',
        train_dataloader=dict(dataset=dict(pipeline=test_pipeline)),
        train_cfg=dict(
            _delete_=True,
            type='mmwsol.OfflineLoop',
            writer=dict(type='mmwsol.ProposalWriter', min_area=0.04))),  # smallest share of the image of a proposal
    dict(
        name='decoder',
        model=dict(head=dict(train_part='decoder')),
        train_dataloader=dict(dataset=dict(pipeline=decoder_pipeline))),
]
""",
        ),
    )
}
