# SAT, DeiT-S on OpenImages30k: masks, no boxes; images are squashed, not cropped, at test. No setting is published:
# those of CUB, lambda of ILSVRC.
_base_ = ['./sat_deit-s_cub.py']
data_root = 'data/OpenImages'
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
# tools/test.py --tta: class scores from ten crops, localization from the plain image.
tta_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.TenCrop', crop_size=224, view='plain', resize=256),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(dataset=dict(type='mmwsol.OpenImages30k', data_root=data_root))
val_dataloader = dict(
    dataset=dict(type='mmwsol.OpenImages30k', data_root=data_root, split='val', pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(type='mmwsol.OpenImages30k', data_root=data_root, split='test', pipeline=test_pipeline))
model = dict(head=dict(num_classes=100, map_losses=dict(loss_area=dict(target=0.35))))  # unspecified
# The map is normalised before it is resized, as for boxes.
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.PxAP', map_to_box=dict(type='mmwsol.ComponentBox', preset='sat'), map_class='agnostic'),
]
test_evaluator = val_evaluator
# The epoch is chosen on val; tools/test.py reports on test.
default_hooks = dict(checkpoint=dict(save_best='seg/pxap'))
