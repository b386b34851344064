# RTMDet on the boxes that SAT found in Shapes, on SAT's own backbone. Minutes on two CPU cores.
_base_ = ['./_base_/shapes.py', './_base_/schedule_shapes.py']
num_classes = 10
model = dict(
    type='RTMDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # what the backbone was trained with
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=8),
    backbone=dict(
        type='mmwsol.FeatureMaps',
        backbone=dict(
            type='mmwsol.SATViT',
            arch=dict(embed_dims=128, num_layers=3, num_heads=4, feedforward_channels=512),
            img_size=64,
            patch_size=8,
            stem=dict(type='mmwsol.ConvStem', channels=(24, 48, 96)),
            num_sqa_blocks=3,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='work_dirs/sat_small-vit_shapes/sat/epoch_3.pth',
                prefix='backbone.'))),
    neck=dict(type='mmwsol.SimpleFeaturePyramid', in_channels=128, out_channels=64, scales=(1, 0.5)),
    bbox_head=dict(
        type='RTMDetSepBNHead',
        num_classes=num_classes,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        with_objectness=False,
        exp_on_reg=True,
        share_conv=True,
        pred_kernel_size=1,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True)),
    train_cfg=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.001, nms=dict(type='nms', iou_threshold=0.65), max_per_img=10))
