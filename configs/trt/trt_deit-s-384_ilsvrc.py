# TRT (Su et al., BMVC 2022), DeiT-S/16 at 384 on ILSVRC2012. No numbers of this size were published, nor DeiT-S weights
# for 384: it starts from those for 224, position embeddings resized.
_base_ = ['./trt_deit-b-384_ilsvrc.py']
model = dict(
    backbone=dict(arch='deit-small'),
    head=dict(in_channels=384),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
