# SAT, DeiT-S on CUB, scored against masks (Table 4) on whole images, squashed to 224 and not cropped:
# tools/test.py with a checkpoint of sat_deit-s_cub.py. Needs CUB's segmentations/. The rule is that of the authors' BAS
# repository; SAT's own lacks it.
_base_ = ['./sat_deit-s_cub.py']
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
tta_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.TenCrop', crop_size=224, view='plain', resize=256),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.PxAP', map_to_box=dict(type='mmwsol.ComponentBox', preset='sat'), map_class='agnostic'),
]
