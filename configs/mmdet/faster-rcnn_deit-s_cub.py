# Faster R-CNN on the backbone of a trained localizer, with ViTDet's pyramid (Li et al., ECCV 2022).
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './_base_/schedule_adamw.py', './_base_/cub.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmwsol.FeatureMaps',
        backbone=dict(
            type='mmwsol.TapViT',
            arch='deit-small',
            tap='none',
            drop_path_rate=0.1,
            init_cfg=dict(
                type='Pretrained', checkpoint='work_dirs/ts-cam_deit-s_cub/epoch_60.pth', prefix='backbone.'))),
    neck=dict(_delete_=True, type='mmwsol.SimpleFeaturePyramid', in_channels=384, out_channels=256, num_outs=5),
    roi_head=dict(bbox_head=dict(num_classes=200)))
