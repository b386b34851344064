# TRT (Su et al., BMVC 2022), DeiT-S/16 at 384 on CUB-200-2011. No numbers of this size were published, nor DeiT-S
# weights for 384: it starts from those for 224, position embeddings resized.
_base_ = ['./trt_deit-b-384_cub.py']
model = dict(
    backbone=dict(arch='deit-small'),
    head=dict(in_channels=384),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
stages = [
    dict(
        name='tpsm',
        model=dict(head=dict(train_part='tpsm')),
        param_scheduler=dict(gamma=0.2)),  # as released for DeiT-B at 384
    dict(
        name='cam',
        init_from='best',
        model=dict(head=dict(train_part='cam')),
        param_scheduler=dict(milestones=[9, 19]),
        train_cfg=dict(max_epochs=20)),  # paper: 15
]
