# CUB-200-2011 at 224 as in the official SAT code: at test, images are squashed to 256 and the centre is cropped.
_base_ = ['./cub_224.py']
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.CenterCrop', crop_size=224),
    dict(type='mmwsol.PackLocInputs'),
]
# tools/test.py --tta: class scores from ten crops, localization from the centre crop. The paper's Top-1 and Top-5 use
# it.
tta_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.TenCrop', crop_size=224, view='center'),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(batch_size=256)  # all GPUs together: divide by their number
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', protocol='sat'),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='sat', map_class='agnostic'),
    # What Table 3 of the paper calls MaxBoxAccV2: the hit rates at IoU .3, .5 and .7 of one box at one threshold.
    dict(
        type='mmwsol.MaxBoxAcc',
        prefix='sat',
        map_to_box=dict(type='mmwsol.ComponentBox', preset='sat'),
        thresholds=[0.4],
        multi_contour=False,
        frame_rule='sat',
        map_class='agnostic'),
]
test_evaluator = val_evaluator
