# SAT on Imagenette, a transformer behind EfficientNet-Lite0: stages of ts-cam_hybrid-vit_imagenette.py.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
map_to_box = dict(type='mmwsol.ComponentBox', preset='sat')
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(
        type='mmwsol.LocAccuracy',
        map_to_box=map_to_box,
        threshold=dict(grid=0.01, select_by='gt_known', select_on='val')),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
test_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc', map_to_box=map_to_box, threshold='model', prefix='calibrated'),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
model = dict(map_to_box=dict(map_to_box, _delete_=True))
stages = [
    dict(name='pretrain'),
    dict(
        name='sat',
        model=dict(
            backbone=dict(type='mmwsol.SATViT', num_sqa_blocks=2),
            head=dict(
                _delete_=True,
                type='mmwsol.SATHead',
                num_classes=10,
                in_channels=128,
                map_losses=dict(
                    loss_area=dict(type='mmwsol.BatchAreaLoss', target=0.35),  # the paper's value for ILSVRC
                    loss_norm=dict(type='mmwsol.MapNormalizationLoss')))),
        optim_wrapper=dict(optimizer=dict(lr=5e-4))),
]
