# SAT on Imagenette, a transformer behind EfficientNet-Lite0: stages of ts-cam_hybrid-vit_imagenette.py.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
# Small tokens, to which the blocks add much; at the stem's own scale the gates let the whole frame through.
model = dict(backbone=dict(stem=dict(norm_scale=0.1)))
stages = [
    dict(name='pretrain'),
    dict(
        name='sat',
        model=dict(
            backbone=dict(type='mmwsol.SATViT', num_sqa_blocks=2),
            map_to_box=dict(type='mmwsol.ComponentBox', preset='sat'),
            head=dict(
                type='mmwsol.SATHead',
                map_losses=dict(
                    loss_area=dict(type='mmwsol.BatchAreaLoss', target=0.35),  # the paper's value for ILSVRC
                    loss_norm=dict(type='mmwsol.MapNormalizationLoss')))),
        optim_wrapper=dict(optimizer=dict(lr=5e-4))),
]
